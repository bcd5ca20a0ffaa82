# A pool of forked workers that are fed by pipes, and interrupted by alarms.
use strict;
use warnings;
use IO::Handle;
use Time::HiRes qw(sleep setitimer ITIMER_REAL);

STDOUT->autoflush(1);
my (@to, @from, @workers);
for my $k (0 .. 2) {
    pipe(my $read, $to[$k]) or die;
    pipe($from[$k], my $write) or die;
    $_->autoflush(1) for $to[$k], $write;
    if ((my $pid = fork) == 0) {
        close $_ for @to, @from;
        my $sum = 0;
        while (my $line = <$read>) {
            $sum += $_ * $line for 1 .. 2000;
            print $write "$sum\n";
        }
        exit 10 + $k;
    } else {
        push @workers, $pid;
    }
    close $read;
    close $write;
}
my $alarms = 0;
$SIG{ALRM} = sub { $alarms++ };
setitimer(ITIMER_REAL, 0.05, 0.05);
for my $i (0 .. 59) {
    print { $to[$_] } $i + $_, "\n" for 0 .. 2;
    my @sums = map { my $line = readline $from[$_]; chomp $line; $line } 0 .. 2;
    my $child = `echo of a child $i`;
    print "round $i @sums $child";
    my $end = Time::HiRes::time() + 0.5;
    sleep 0.01 until -e $ENV{GO} or $i < 59 && Time::HiRes::time() > $end;
}
sleep 0.01 while $alarms == 0;
setitimer(ITIMER_REAL, 0);
close $_ for @to;
print "ended ", join(" ", map { waitpid $_, 0; $? >> 8 } @workers), "\n";
