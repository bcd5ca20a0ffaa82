# Perl: children that are forked, told and heard through pipes, and a clock by signals. A line a round, until there is
# a file "go", or as many as ROUNDS says.
use strict;
use warnings;
use IO::Select;
use Time::HiRes qw(setitimer ITIMER_REAL sleep);
$| = 1;

my $ticks = 0;
$SIG{ALRM} = sub { $ticks++ };
my (@ask, @tell);
for my $k (0 .. 2) {
    pipe(my $question, $ask[$k]) or die $!;
    pipe($tell[$k], my $answer) or die $!;
    if (!fork) {
        close($_) for @ask;
        $answer->autoflush(1);
        while (my $n = <$question>) {
            my $sum = 0;
            $sum = ($sum * 31 + $n * $_) % 1000003 for 1 .. 50000;
            print $answer "$k:$sum\n";
        }
        exit $k;
    }
    $ask[$k]->autoflush(1);
    close($question);
    close($answer);
}
setitimer(ITIMER_REAL, 0.02, 0.02);
my $n = 0;
while (defined $ENV{ROUNDS} ? $n < $ENV{ROUNDS} : !-e "go") {
    my $before = $ticks;
    for my $k (0 .. 2) { print { $ask[$k] } 3 * $n + $k, "\n" }
    my $select = IO::Select->new(@tell);
    my @said;
    while ($select->count) {
        for my $ready ($select->can_read) { push @said, scalar <$ready>; $select->remove($ready) }
    }
    sleep 0.02 until $ticks > $before;
    chomp @said;
    print "round $n ", join(" ", sort @said), " ", scalar `sleep 0.05; echo child`;
    sleep $ENV{PAUSE} if $ENV{PAUSE} > 0;
    $n++;
}
setitimer(ITIMER_REAL, 0);
close($_) for @ask;
print "done ", join(",", sort map { wait; $? >> 8 } 0 .. 2), "\n";
