# Programs that wait are saved while they run and moved, and print what they print undisturbed.

load ../lib

programs=/src/tests/integration/programs

# waits SECONDS NAME [SBATCH-OPTION...]: prints the job's id. What it prints comes in NAME.out.
waits() {
    local seconds=$1 name=$2
    shift 2
    alice mkdir -p "$name.dir"
    submit -o "$name.out" -n 1 --mem=500M --time=10 "$@" <<SCRIPT
#!/bin/bash
cd $name.dir
python3 $programs/waits.py $seconds >waits &
waits=\$!
for log in own.log /tmp/private.log; do
    : >\$log
    for i in {1..60}; do echo "step \$i" >>\$log; sleep 0.5; done &
    tail -n +1 --pid=\$! -f \$log >\$(basename \$log).seen &
    followers+=" \$!"
done
sleep 3
echo waiting
mkfifo pipe
read -r -t $seconds line <>pipe; echo "read -t: \$?"
timeout $seconds sleep 1000; echo "timeout: \$?"
wait \$waits; echo "waits: \$?"
wait \$followers; echo "tail: \$?"
cat waits *.seen
SCRIPT
}

# bats test_tags=slice
@test "waits of all kinds, and tail -f, are saved three times, moved and saved again" {
    job=$(waits 3 plain --checkpoint=off -p urgent)
    wait_for_end "$job" 180
    job=$(waits 25 moved --checkpoint -p spot)
    wait_for_text /shared/alice/moved.out waiting
    for _ in 1 2 3; do alice holdfast save "$job"; done
    assert_equal "$(committed "$job")" 2
    alice holdfast migrate "$job"
    wait_for_restart "$job" 1
    alice holdfast save "$job"
    wait_for_state "$job" COMPLETED 240
    diff <(printed /shared/alice/plain.out) <(printed /shared/alice/moved.out)
    assert_contains "$(printed /shared/alice/plain.out)" 'in a thread, recv: -1 Resource temporarily unavailable'
}

# A wait that began again at each save would still last when the job's time is over.
@test "a sleep that is longer than the time between two saves ends" {
    job=$(submit -o long.out -p spot -n 1 --time=5 --checkpoint <<<$'#!/bin/bash\necho begin\nsleep 30\necho "slept: $?"')
    wait_for_text /shared/alice/long.out begin
    until job_over "$job"; do alice holdfast save "$job" || eventually 5 job_over "$job"; done
    assert_equal "$(job_field "$job" JobState)" COMPLETED
    assert_contains "$(printed /shared/alice/long.out)" 'slept: 0'
}
