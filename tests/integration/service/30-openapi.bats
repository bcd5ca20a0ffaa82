# Every path, status and field of docs/operations/openapi.yaml, as the server answers.

load ../lib

seen=/tmp/openapi.seen
api() { on ctl /src/tests/integration/service/openapi.py "$seen" "$@"; }
alice_asks() { as alice ctl /src/tests/integration/service/openapi.py "$seen" ask "$@"; }

# answers STATUS COMMAND...
answers() {
    local want=$1
    shift
    run "$@"
    # shellcheck disable=SC2154 # set by run
    [ "$status" = 0 ] && [ "${lines[0]}" = "$want" ] || { printf '%s\n%s\n' "$*" "$output" >&2; return 1; }
}

setup_file() {
    idle_cluster
    on ctl sh -c ": >$seen; chmod 666 $seen"
    on ctl cp /etc/holdfast/holdfast.yaml /tmp/holdfast.yaml.before
}
teardown_file() {
    on ctl cp /tmp/holdfast.yaml.before /etc/holdfast/holdfast.yaml
    on ctl /src/lab/lib/coordinator reload
}

@test "there is a description for each route of the server" {
    routes=$(grep -cE 'server\(\)\.(Get|Post|Delete)\(' /src/coordinator/rest_server.cc)
    described=$(on ctl python3 -c 'import yaml
paths = yaml.safe_load(open("/src/docs/operations/openapi.yaml"))["paths"]
print(sum(method in item for item in paths.values() for method in ("get", "post", "delete")))')
    assert_equal "$described" "$routes"
}

@test "what anybody may ask" {
    for path in /metrics /healthz /readyz /v1/health; do answers 200 api stranger GET "$path"; done
    on ctl sed -i '/^coordinator:/a\  metrics: off' /etc/holdfast/holdfast.yaml
    on ctl /src/lab/lib/coordinator reload
    closed() { answers 404 api stranger GET /metrics; }
    eventually 10 closed
    for path in /v1/jobs /v1/jobs/1 /v1/jobs/1/checkpoints /v1/jobs/1/checkpoints/1 /v1/nodes /v1/events /v1/expired; do
        answers 401 api stranger GET "$path"
    done
    answers 401 api stranger DELETE /v1/jobs/1/checkpoints/1
    for path in save stop migrate resume removed; do answers 401 api stranger POST "/v1/jobs/1/$path"; done
    answers 401 api stranger POST /v1/nodes/n1/evacuate
}

@test "a job's life" {
    job=$(submit --checkpoint=1h --checkpoint-timelimit=requeue -J described -o described.out --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    answers 200 alice_asks GET /v1/jobs
    answers 200 alice_asks GET "/v1/jobs/$job"
    answers 200 alice_asks GET "/v1/jobs?state=RUNNING&user=alice&partition=spot&limit=1"
    assert_contains "$output" "$job"
    answers 400 alice_asks GET '/v1/jobs?limit=none'
    answers 202 alice_asks POST "/v1/jobs/$job/save"
    answers 200 alice_asks GET "/v1/jobs/$job/checkpoints/1"
    answers 200 alice_asks GET "/v1/events?job=$job"
    answers 400 alice_asks GET '/v1/events?since=1'
    eventually 30 details_are "$job" .state running
    answers 200 alice_asks POST "/v1/jobs/$job/save?wait=60" '{"stop": false}'
    answers 200 alice_asks GET "/v1/jobs/$job/checkpoints"
    answers 409 alice_asks DELETE "/v1/jobs/$job/checkpoints/2"
    answers 202 alice_asks DELETE "/v1/jobs/$job/checkpoints/1"
    answers 200 alice_asks GET "/v1/jobs/$job/checkpoints/1"
    assert_contains "$output" '"removing"'
    answers 200 api ask GET /v1/expired
    assert_contains "$output" '"unwanted":[{'
    answers 409 alice_asks POST "/v1/jobs/$job/resume"
    answers 400 alice_asks POST "/v1/jobs/$job/save" '{"stop": 1}'
    answers 202 alice_asks POST "/v1/jobs/$job/migrate" '{"exclude": ["n1"]}'
    wait_for_restart "$job" 1
    answers 200 alice_asks POST "/v1/jobs/$job/migrate?wait=60"
    wait_for_restart "$job" 2
    answers 200 alice_asks GET "/v1/jobs/$job"
    answers 400 alice_asks POST "/v1/jobs/$job/migrate" '{"nodes": "all"}'
    answers 409 alice_asks POST "/v1/jobs/$job/migrate" '{"nodes": 99}'
    answers 200 alice_asks POST "/v1/jobs/$job/save?wait=60" '{"stop": true}'
    eventually 30 details_are "$job" .state held
    answers 200 alice_asks GET "/v1/jobs/$job"
    answers 409 alice_asks POST "/v1/jobs/$job/save"
    answers 400 alice_asks POST "/v1/jobs/$job/resume" '{"soon": true}'
    answers 202 alice_asks POST "/v1/jobs/$job/resume" '{"exclude": [], "checkpoint": 0, "from_start": false}'
    eventually 60 details_are "$job" .state running
    answers 400 alice_asks POST "/v1/jobs/$job/stop" '{"hold": true}'
    answers 202 alice_asks POST "/v1/jobs/$job/stop"
    eventually 30 details_are "$job" .state held
    answers 409 alice_asks POST "/v1/jobs/$job/stop"
    answers 202 alice_asks POST "/v1/jobs/$job/resume"
    eventually 60 details_are "$job" .state running
    answers 200 alice_asks POST "/v1/jobs/$job/stop?wait=60"
    answers 202 alice_asks POST "/v1/jobs/$job/resume"
    eventually 60 details_are "$job" .state running
    answers 409 alice_asks POST "/v1/jobs/$job/removed" '{"all": true}'
    answers 400 alice_asks POST "/v1/jobs/$job/removed" '{"checkpoints": ["all"]}'
    answers 200 alice_asks POST "/v1/jobs/$job/removed" '{"checkpoints": []}'
    alice scancel "$job"
    eventually 30 details_are "$job" .state ended
    answers 200 alice_asks GET "/v1/jobs/$job"
}

@test "a save that fails" {
    job=$(submit --checkpoint -J traced -o traced.out --wrap 'strace -f -o /dev/null sleep 1000')
    eventually 30 details_are "$job" .state running
    answers 500 alice_asks POST "/v1/jobs/$job/save?wait=60"
    answers 500 alice_asks POST "/v1/jobs/$job/migrate?wait=60" '{"exclude": ["n1"]}'
    answers 500 alice_asks POST "/v1/jobs/$job/stop?wait=60"
    answers 200 alice_asks GET "/v1/jobs/$job"
    alice scancel "$job"
}

@test "what is not there, or not for everybody" {
    answers 404 alice_asks GET /v1/jobs/999999
    answers 404 alice_asks GET /v1/jobs/999999/checkpoints
    answers 404 alice_asks GET /v1/jobs/999999/checkpoints/1
    answers 404 alice_asks DELETE /v1/jobs/999999/checkpoints/1
    for path in save stop migrate resume removed; do answers 404 alice_asks POST "/v1/jobs/999999/$path"; done
    answers 200 api ask GET /v1/expired
    answers 403 alice_asks GET /v1/expired
    answers 403 alice_asks POST /v1/nodes/n1/evacuate
    answers 400 api ask POST /v1/nodes/n1/evacuate '{"reason": 1}'
    answers 404 api ask POST /v1/nodes/nowhere/evacuate
}

@test "a node is emptied" {
    job=$(submit --checkpoint -J leaves -o leaves.out --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    node=$(job_field "$job" NodeList)
    answers 400 alice_asks GET '/v1/nodes?cursor=%20'
    answers 202 api ask POST "/v1/nodes/$node/evacuate" '{"reason": "new disks"}'
    assert_contains "$output" "$job"
    answers 200 alice_asks GET /v1/nodes
    assert_contains "$output" '"reason":"evacuate"'
    wait_for_restart "$job" 1
    on ctl scontrol update nodename="$node" state=resume
    alice scancel "$job"
}

@test "too many requests" {
    on ctl sed -i '$a\rest:\n  rate: 1' /etc/holdfast/holdfast.yaml
    on ctl /src/lab/lib/coordinator reload
    limited() { answers 429 alice_asks GET /v1/jobs; }
    eventually 10 limited
    for path in /v1/jobs/1 /v1/jobs/1/checkpoints /v1/jobs/1/checkpoints/1 /v1/nodes /v1/events /v1/expired; do
        answers 429 alice_asks GET "$path"
    done
    answers 429 alice_asks DELETE /v1/jobs/1/checkpoints/1
    for path in save stop migrate resume removed; do answers 429 alice_asks POST "/v1/jobs/1/$path"; done
    answers 429 alice_asks POST /v1/nodes/n1/evacuate
    answers 200 api ask GET /v1/jobs
    on ctl sed -i '/^rest:/,$d' /etc/holdfast/holdfast.yaml
    on ctl /src/lab/lib/coordinator reload
    unlimited() { answers 200 alice_asks GET /v1/jobs; }
    eventually 10 unlimited
}

@test "Slurm is away, and what was described has been answered" {
    on ctl scontrol shutdown slurmctld
    away() { answers 503 api stranger GET /readyz; }
    eventually 60 away
    answers 503 api ask GET /v1/nodes
    on ctl slurmctld
    back() { answers 200 api stranger GET /readyz; }
    eventually 60 back
    assert_equal "$(api unseen)" ''
}
