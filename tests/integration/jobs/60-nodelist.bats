# Jobs with a --nodelist are moved as far as it allows.

load ../lib

# listed OPTION...: a job that counts.
listed() {
    alice rm -f listed.out
    # shellcheck disable=SC2016 # the script's
    alice sbatch --parsable -p nograce --checkpoint -o listed.out "$@" --wrap 'i=0; while :; do echo $((i += 1)); sleep 0.1; done'
}
running_on() { details_are "$1" '.state + " " + (.nodes | join(","))' "running $2"; }

counts() { diff <(seq 5) <(on ctl head -n 5 /shared/alice/listed.out); }

teardown() { alice scancel --user=alice; }

@test "a list of more nodes than it needs: to another of them, and nowhere else" {
    job=$(listed -N1 -w n[1-2])
    wait_for_text /shared/alice/listed.out 5
    running_on "$job" n1
    alice holdfast migrate "$job"
    eventually 60 running_on "$job" n2
    alice holdfast migrate "$job"
    eventually 60 running_on "$job" n1
    assert_run ! alice holdfast migrate "$job" --exclude n[1-2]
    assert_contains "$output" "its --nodelist has it on 1 of n1,n2, and 0 would be left"
    running_on "$job" n1
}

@test "nodes that are not in the list are left, those in it are not" {
    job=$(listed -N2 -w n1)
    wait_for_text /shared/alice/listed.out 5
    other=$(details "$job" '.nodes[1]')
    alice holdfast migrate "$job"
    wait_for_restart "$job" 1
    assert_equal "$(details "$job" '.nodes[0]')" n1
    [ "$(details "$job" '.nodes[1]')" != "$other" ]
}

@test "all in the list: said so, and it runs on" {
    job=$(listed -w n3)
    wait_for_text /shared/alice/listed.out 5
    assert_run ! alice holdfast migrate "$job"
    assert_contains "$output" "its --nodelist has it on 1 of n3, and none would be left"
    assert_equal "$(job_field "$job" Restarts)" 0
    # As its user is told to.
    alice holdfast save "$job" --stop
    alice scontrol update jobid="$job" reqnodelist=n4
    alice holdfast resume "$job"
    eventually 60 running_on "$job" n4
}

@test "its node is emptied all the same: it waits for it, and says so" {
    job=$(listed -w n3)
    wait_for_text /shared/alice/listed.out 5
    on ctl holdfast evacuate n3
    waits() { [[ $(alice squeue -h -j "$job" -o %k) == *'nowhere without n3'* ]]; }
    eventually 60 waits
    on ctl scontrol update nodename=n3 state=resume
    # Slurm may start it there before the coordinator has asked whether the node is in use again, every two
    # seconds; it then leaves once more.
    eventually 90 running_on "$job" n3
    counts
}
