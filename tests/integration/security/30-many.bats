# A user who wants to be saved all the time, five hundred times over.

load ../lib

teardown() {
    on ctl scancel --user=alice --quiet || true
    on ctl scancel --user=bob --quiet || true
    eventually 120 no_jobs
}

bob() { as bob ctl env -C /shared/bob "$@"; }
coordinator() { on ctl sh -c "$1" sh "$(on ctl cat /run/holdfast/coordinator.pid)"; }
threads() { coordinator 'ls /proc/$1/task | wc -l'; }
descriptors() { coordinator 'ls /proc/$1/fd | wc -l'; }
cpu_ticks() { coordinator 'set -- $(cut -d")" -f2 /proc/$1/stat); echo $((${12} + ${13}))'; }
requests() { on ctl sdiag | sed -n '/by user/,$s/^\tholdfast .*count:\([0-9]*\).*/\1/p'; }
saves() { on ctl sqlite3 -readonly /var/lib/holdfast/journal.db "select sum(newest) from (select max(number) newest from checkpoints group by job_id)"; }
rate() { python3 -c "print(f'{($2 - $1) / ($EPOCHREALTIME - $3):.1f}')"; } # FROM TO SINCE

state_is() { [ "$(bob holdfast show "$1" --json | jq -r .state)" = "$2" ]; }
restarted() { [ "$(job_field "$1" Restarts)" = "$2" ] && state_is "$1" running; }
many_run() { [ "$(alice holdfast list --json | jq '[.jobs[] | select(.state == "running")] | length')" -ge "$1" ]; }

# taken: takes bob's job off its node; prints the seconds until all that ran there had been saved and had left.
taken() {
    local urgent begin=$EPOCHREALTIME
    urgent=$(bob sbatch --parsable --partition=urgent --nodelist=n1 --exclusive --output=/dev/null --wrap 'sleep 1000')
    wait_for_state "$urgent" RUNNING 90 || return 1
    python3 -c "print(f'{$EPOCHREALTIME - $begin:.1f}')"
    bob scancel "$urgent"
    wait_for_end "$urgent"
}

# Less than the grace time, or it would have been killed: so nothing here depends on how long things take.
@test "an array of 500 that asks for a checkpoint each second holds up nobody's preemption" {
    on ctl rm -rf /shared/bob
    on ctl install -d -o bob -g bob /shared/bob
    job=$(bob sbatch --parsable --partition=spot --nodelist=n1 --checkpoint -o count.out <<'END'
#!/bin/bash
until [ -e go ]; do echo $((n++)); sleep 0.1; done
echo whole
END
    )
    eventually 60 state_is "$job" running
    alone=$(taken)
    eventually 60 restarted "$job" 1
    quiet="$(threads) threads, $(descriptors) descriptors"

    begin=$EPOCHREALTIME
    array=$(alice sbatch --parsable --partition=spot --array=1-500 --checkpoint=1s -o /dev/null --wrap 'sleep 1000')
    submitted=$(rate 0 500 "$begin")
    eventually 120 many_run 8
    ticks=$(cpu_ticks) calls=$(requests) kept=$(saves) begin=$EPOCHREALTIME
    sleep 20
    figures="$(rate "$ticks" "$(cpu_ticks)" "$begin") % of a CPU, $(rate "$calls" "$(requests)" "$begin") requests to Slurm and $(rate "$kept" "$(saves)" "$begin") checkpoints a second"
    crowded=$(taken)
    alice scancel "$array"
    eventually 120 restarted "$job" 2
    echo "# left its node in $crowded s, alone $alone s; coordinator: $(threads) threads, $(descriptors) descriptors, alone $quiet; $figures; $submitted submitted a second" >&3

    bob touch go
    wait_for_state "$job" COMPLETED
    # It went on where it was, both times.
    on ctl awk '/^whole$/ { ends++; next } $1 != n++ || ends { exit bad = 1 } END { exit bad || ends != 1 }' /shared/bob/count.out
}
