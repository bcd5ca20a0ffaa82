# What a save is charged for does not cost the job a process.

load ../lib

setup() { alice rm -f go; }

# bats test_tags=slice
@test "two ranks that leave little of the limit: saved or refused again and again, never killed" {
    # Random memory, and a store that lies in memory: all of it counts against the job's limit.
    job=$(submit --mem=512M --checkpoint --checkpoint-dir=/shared/alice/ckpt -o ranks.out <<'END'
#!/bin/bash
rank() { python3 -c 'import os, time; m = os.urandom(133000000); print("ready", flush=True)
while not os.path.exists("/shared/alice/go"): time.sleep(0.1)
print("whole", len(m), flush=True)'; }
rank & rank &
wait -n || exit 1
wait -n || exit 1
END
    )
    eventually 60 two_are_ready
    eventually 30 details_are "$job" .state running
    for _ in 1 2 3 4; do
        alice holdfast save "$job" || assert_contains "$(details "$job" .last_error)" 'memory limit'
        eventually 30 details_are "$job" .state running
    done
    alice touch go
    wait_for_state "$job" COMPLETED
    assert_equal "$(grep -c whole /shared/alice/ranks.out)" 2
}
two_are_ready() { [ "$(on ctl grep -c ready /shared/alice/ranks.out)" = 2 ]; }

@test "the kernel would kill CRIU first; what is restored keeps the score that it had" {
    for node in n1 n2 n3 n4; do
        on "$node" sh -c 'printf "%s\n" "#!/bin/sh" "cat /proc/self/oom_score_adj >>/srv/scores" "exec criu \"\$@\"" >/usr/local/sbin/noted-criu; chmod 755 /usr/local/sbin/noted-criu; install -m 666 /dev/null /srv/scores; cp /etc/holdfast/holdfast.yaml /etc/holdfast/holdfast.yaml.own; sed -i "s|^  criu: criu|  criu: /usr/local/sbin/noted-criu|" /etc/holdfast/holdfast.yaml'
    done
    plain=$(alice sbatch --parsable --checkpoint=off -p urgent -o plain.out --wrap 'cat /proc/self/oom_score_adj')
    wait_for_state "$plain" COMPLETED
    job=$(submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o score.out <<<$'#!/bin/bash\nsay() { read -r score </proc/$$/oom_score_adj; echo $score; }\nsay\nuntil [ -e go ]; do sleep 0.1; done\nsay')
    eventually 60 on ctl test -s /shared/alice/score.out
    eventually 30 details_are "$job" .state running
    node=$(job_field "$job" NodeList)
    move "$job"
    alice touch go
    wait_for_state "$job" COMPLETED
    assert_equal "$(on ctl sort -u /shared/alice/score.out)" "$(on ctl cat /shared/alice/plain.out)"
    assert_contains "$(on "$node" cat /srv/scores)" 1000
}
teardown() {
    for node in n1 n2 n3 n4; do on "$node" sh -c '[ ! -e /etc/holdfast/holdfast.yaml.own ] || mv /etc/holdfast/holdfast.yaml.own /etc/holdfast/holdfast.yaml'; done
}

# hog OPTION...: a job that takes more than it may; prints its id.
hog() {
    submit --mem=400M -p urgent -o hog-%j.out "$@" <<'END'
#!/usr/bin/python3
import os, time
if os.environ.get("PAUSE"): time.sleep(5)
m = [os.urandom(10000000) for _ in range(100)]
END
}

# ended JOB: how, as people and workflow managers see it.
ended() {
    printf '%s ' "$(job_field "$1" JobState)" "$(job_field "$1" Reason)" "$(job_field "$1" ExitCode)"
    on ctl sacct -n -X -P -j "$1" -o state,exitcode
}

# bats test_tags=slice
@test "a job that takes too much is OUT_OF_MEMORY, as without Holdfast, and nobody holds it" {
    plain=$(hog --checkpoint=off)
    ours=$(hog --checkpoint --checkpoint-dir=/shared/alice/ckpt)
    wait_for_end "$plain"
    wait_for_end "$ours"
    assert_equal "$(ended "$plain")" 'OUT_OF_MEMORY OutOfMemory 0:125 OUT_OF_MEMORY|0:125'
    assert_equal "$(ended "$ours")" "$(ended "$plain")"
    assert_equal "$(on ctl sacct -n -P -j "$ours.0" -o state)" OUT_OF_MEMORY
    eventually 20 details_are "$ours" .state ended
}

@test "and so is one that has a checkpoint" {
    ours=$(submit --mem=400M --checkpoint=1s --checkpoint-dir=/shared/alice/ckpt -o late.out <<<$'#!/bin/bash\npython3 -c "import os, time; time.sleep(6); m = [os.urandom(10000000) for _ in range(100)]"')
    wait_for_end "$ours" 180
    assert_equal "$(ended "$ours")" 'OUT_OF_MEMORY OutOfMemory 0:125 OUT_OF_MEMORY|0:125'
}

@test "one that fails for another reason has FAILED, and one that bears the loss has COMPLETED" {
    for checkpoint in off on; do
        failed=$(submit --mem=400M -p urgent --checkpoint=$checkpoint -o failed.out --wrap 'exit 3')
        # Of a step it is the step's affair, with Slurm too.
        bears=$(submit --mem=400M -p urgent --checkpoint=$checkpoint -o bears.out --wrap 'srun python3 -c "import os; m = [os.urandom(10000000) for _ in range(100)]" || exit 0')
        wait_for_end "$failed"
        wait_for_end "$bears"
        assert_equal "$(job_field "$failed" JobState) $(job_field "$failed" ExitCode)" 'FAILED 3:0'
        assert_equal "$(job_field "$bears" JobState)" COMPLETED
    done
}
