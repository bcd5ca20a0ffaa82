# What is only reserved costs nothing, or is refused before anything stands still.

load ../lib

setup() { alice rm -f go; }

# reserving OPTION...: a job that reserves a terabyte and uses none of it; prints its id.
reserving() {
    submit --checkpoint --checkpoint-dir=/shared/alice/ckpt -o reserved.out "$@" <<'END'
#!/usr/bin/python3
import mmap, os, time
reserved = mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_NORESERVE, prot=0)
last = time.monotonic()
print("ready", flush=True)
while not os.path.exists("/shared/alice/go"):
    time.sleep(0.05)
    now = time.monotonic()
    if now - last > 1:
        print("paused", now - last, flush=True)
    last = now
print("whole", flush=True)
END
}

# bats test_tags=slice
@test "a terabyte, and no memory for what CRIU notes of it: refused by name, and nothing stands still" {
    job=$(reserving --mem=400M)
    wait_for_text /shared/alice/reserved.out ready
    eventually 30 details_are "$job" .state running
    assert_run ! alice holdfast save "$job"
    assert_contains "$(details "$job" .last_error)" 'of address space, for which CRIU needs'
    alice touch go
    wait_for_state "$job" COMPLETED
    assert_equal "$(on ctl grep -c paused /shared/alice/reserved.out)" 0
}
