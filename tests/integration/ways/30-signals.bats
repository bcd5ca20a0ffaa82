# Signals: who gets which, beside a job of plain Slurm.

load ../lib
load ways

# signalled NAME OPTION...: submits one that says which signals its script and the script's child get,
# and waits until it listens.
signalled() {
    local name=$1
    shift
    alice rm -f "$name.out"
    alice tee "$name.sh" >/dev/null <<'END'
#!/bin/bash
trap 'echo script USR1' USR1
trap 'echo script USR2' USR2
bash -c 'trap "echo child USR1" USR1; trap "echo child USR2" USR2; while [ ! -e end-'"$1"' ]; do sleep 0.1; done' &
echo listening
until [ -e end-$1 ]; do wait; sleep 0.1; done
wait
END
    alice sbatch --parsable -o "$name.out" "$@" "$name.sh" "$name"
    wait_for_text "/shared/alice/$name.out" listening
    sleep 0.5
}

# heard NAME: in any order.
heard() { on ctl sort "/shared/alice/$1.out"; }

end_signalled() {
    sleep 1
    alice touch end-plain end-ours
    eventually 30 job_over "$1"
    eventually 30 job_over "$2"
    alice rm end-plain end-ours
}

# try SCANCEL-OPTION...: the same for both, and compares.
try() {
    local plain ours
    plain=$(signalled plain -p nograce)
    ours=$(signalled ours -p nograce --checkpoint)
    alice scancel "$@" "$plain"
    alice scancel "$@" "$ours"
    end_signalled "$plain" "$ours"
    diff <(heard plain) <(heard ours)
}

@test "scancel --signal: steps get it, and not the script" {
    try --signal=USR1
    assert_equal "$(heard ours)" listening
}

@test "scancel --batch --signal: the script alone gets it" {
    try --batch --signal=USR1
    assert_contains "$(heard ours)" "script USR1"
}

@test "scancel --full --signal: the script and its children get it" {
    try --full --signal=USR1
    assert_contains "$(heard ours)" "child USR1"
}

@test "the user's signal at a preemption: not delivered if the job was saved" {
    on ctl sed -i '/^PreemptMode=/i PreemptParameters=send_user_signal' /etc/slurm/slurm.conf
    on ctl scontrol reconfigure
    job=$(signalled ours -p nograce -w n2 --checkpoint --signal=B:USR2@30)
    urgent=$(preempt n2)
    eventually 60 job_is "$urgent" RUNNING
    alice scancel "$urgent"
    wait_for_restart "$job" 1
    sleep 1
    alice touch end-ours
    eventually 30 job_over "$job"
    alice rm end-ours
    on ctl sed -i /send_user_signal/d /etc/slurm/slurm.conf
    on ctl scontrol reconfigure
    assert_equal "$(heard ours)" listening
    job_is "$job" COMPLETED
}

@test "the job's --signal before its time limit: as with Slurm alone, and then the job ends" {
    plain=$(signalled plain -p nograce -t 1 --signal=B:USR2@50)
    ours=$(signalled ours -p nograce -t 1 --signal=B:USR2@50 --checkpoint)
    eventually 120 job_is "$plain" TIMEOUT
    eventually 120 job_is "$ours" TIMEOUT
    diff <(heard plain | grep -v CANCELLED) <(heard ours | grep -v CANCELLED)
    assert_contains "$(heard ours)" "script USR2"
}
