# Kinds of jobs: with --checkpoint each is what it is without.

load ../lib

teardown_file() {
    on ctl scontrol delete reservation=work 2>/dev/null || true
    on ctl sed -i /^Licenses=/d /etc/slurm/slurm.conf
    on ctl scontrol reconfigure
}

# counting OUTPUT OPTION...: a job that counts until it is told to end.
counting() {
    local output=$1
    shift
    # shellcheck disable=SC2016 # the script's
    alice sbatch --parsable -p nograce -o "$output" --checkpoint "$@" \
        --wrap 'i=0; until [ -e end ]; do echo $((i += 1)); sleep 0.1; done; echo task $SLURM_ARRAY_TASK_ID ends'
}

# Each line of the count once, and then the end.
counted() {
    local lines
    lines=$(on ctl cat "/shared/alice/$1")
    diff <(echo "$lines" | head -n -1) <(seq $(($(echo "$lines" | wc -l) - 1)))
    assert_contains "$(echo "$lines" | tail -n 1)" "$2"
}

end_counting() {
    alice touch end
    for job in "$@"; do wait_for_state "$job" COMPLETED; done
    alice rm end
}

@test "what a script finds does not depend on --checkpoint, however it was submitted" {
    alice tee probe.sh >/dev/null <<'END'
#!/bin/bash
echo "in $PWD: $# arguments, $(nproc) CPUs"
read -r line && echo "input: $line"
env | grep -vE '^(SLURM_(JOB_?ID|JOB_START|JOB_END|TASK_PID|TOPOLOGY|SCRIPT|CPU_BIND|ARRAY_JOB_ID)|SLURM_SPANK_|PRTE_|OMPI_|PMIX_|HYDRA_|MPIEXEC_|UCX_|UV_|I_MPI_|FI_|_=|SHLVL|PATH|TMPDIR|BASH_FUNC)' |
    sed -E 's/\b(off|on)\b/WAY/' | sort
END
    ways=(--export=NONE --export=NIL "--export=HOME,COLOUR=blue" --get-user-env --exclusive --open-mode=append
        --open-mode=truncate --array=3 --chdir=/shared --requeue --no-requeue --signal=B:USR1@30 --mail-type=NONE
        --input=/etc/debian_version --hint=nomultithread --gres=none --comment=mine --nice=5 --profile=none)
    for i in "${!ways[@]}"; do
        for way in off on; do
            alice sbatch --parsable -p nograce -w n1 -n 1 --checkpoint="$way" -o "/shared/alice/$i.$way" \
                "${ways[i]}" probe.sh one 'two words' >>"$BATS_TEST_TMPDIR/jobs"
        done
    done
    for job in $(<"$BATS_TEST_TMPDIR/jobs"); do wait_for_end "$job"; done
    for i in "${!ways[@]}"; do
        diff <(on ctl cat "/shared/alice/$i.off") <(on ctl cat "/shared/alice/$i.on") || {
            echo "${ways[i]}" >&2
            return 1
        }
        assert_contains "$(on ctl cat "/shared/alice/$i.on")" "2 arguments"
    done
}

@test "tasks of an array are saved, moved and shown by ARRAY_TASK, each for itself" {
    array=$(counting 'task-%a.out' --array=0,7 -n 1)
    for task in 0 7; do wait_for_text "/shared/alice/task-$task.out" 5; done
    alice holdfast save "${array}_0"
    alice holdfast migrate "${array}_7"
    eventually 60 restarted "${array}_7" 1
    assert_equal "$(details "${array}_0" '.moves | length')" 0
    assert_equal "$(details "${array}_7" '.moves | length')" 1
    assert_equal "$(job_field "${array}_0" Restarts)" 0
    assert_equal "$(details "${array}_7" '"\(.array_job_id)_\(.array_task_id)"')" "${array}_7"
    list=$(alice holdfast list)
    for task in 0 7; do assert_contains "$list" "${array}_$task "; done
    assert_contains "$(alice holdfast show "${array}_7")" "job ${array}_7 ("
    assert_run ! alice holdfast show "${array}_8"
    assert_contains "$output" "${array}_8"
    end_counting "${array}_0" "${array}_7"
    for task in 0 7; do counted "task-$task.out" "task $task ends"; done
}

@test "a job with a licence, in a reservation, with nodes to itself keeps all of that when it is moved" {
    on ctl sed -i '1i Licenses=solver:1' /etc/slurm/slurm.conf
    on ctl scontrol reconfigure
    on ctl scontrol create reservation reservationname=work starttime=now duration=30 nodes=n1,n2 users=alice
    job=$(counting kept.out --licenses=solver:1 --reservation=work --exclusive)
    wait_for_text /shared/alice/kept.out 5
    move_by_hand "$job"
    move_by_hand "$job"
    assert_contains "$(on ctl scontrol show licenses solver)" Used=1
    assert_equal "$(job_field "$job" Reservation)" work
    assert_equal "$(job_field "$job" OverSubscribe)" NO
    assert_equal "$(job_field "$job" NumCPUs)" 4
    end_counting "$job"
    counted kept.out ends
    assert_contains "$(on ctl scontrol show licenses solver)" Used=0
    on ctl scontrol delete reservation=work
}
move_by_hand() {
    local restarts
    restarts=$(job_field "$1" Restarts)
    alice holdfast migrate "$1"
    wait_for_restart "$1" $((restarts + 1))
}

@test "--open-mode: what was there is kept or not, and what comes after a move is appended" {
    for mode in append truncate; do
        alice sh -c "echo old >$mode.out"
        job=$(counting "$mode.out" --open-mode="$mode")
        wait_for_text "/shared/alice/$mode.out" 5
        move_by_hand "$job"
        end_counting "$job"
    done
    assert_equal "$(on ctl head -n 1 /shared/alice/append.out)" old
    on ctl sed -i 1d /shared/alice/append.out
    for mode in append truncate; do counted "$mode.out" ends; done
}
