# shellcheck shell=bash
# Helpers for the tests of group cloud: nodes that are taken back, and jobs that count meanwhile.

cloud() { /src/lab/lib/cloud "$@"; }

# All nodes as if they had never been taken back, and alice's directory empty.
fresh_nodes() {
    local node
    for node in n1 n2 n3 n4; do
        on "$node" true 2>/dev/null || { /src/lab/lib/node-start "$node"; cloud node "$node"; }
        cloud withdraw "$node"
    done
    eventually 60 nodes_usable
    sleep 3 # longer than coordinator.poll_interval: it, too, has seen that they are in use
    on ctl sh -c 'rm -rf /shared/alice/*'
}
nodes_usable() {
    on ctl scontrol update nodename=n[1-4] state=resume 2>/dev/null || true
    /src/lab/lib/wait-idle 1 2>/dev/null
}

# A job on one node that counts, so that any slip shows. Its checkpoints go to the bucket, if nothing else is said.
counter() { # FILE [OPTION...]
    submit --checkpoint --checkpoint-dir=gs://holdfast/alice -o "$1" "${@:2}" \
        <<<$'#!/bin/bash\nfor i in {1..300}; do echo $i; sleep 0.1; done'
}
assert_counted() { assert_equal "$(cat "/shared/alice/$1")" "$(seq 300)"; }

nodes_of() { on ctl scontrol show hostnames "$(job_field "$1" NodeList)"; }
drained() { on ctl sinfo --noheader --nodes="$1" --format=%T | grep -q '^drain'; }
left() { ! nodes_of "$1" | grep -qw "$2"; }
