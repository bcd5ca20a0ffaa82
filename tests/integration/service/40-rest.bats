# The REST API from outside the cluster, by tokens over TLS: who gets in, and what others try.

load ../lib
load tls

setup_file() {
    idle_cluster
    with_tls
    on ctl sacctmgr --immediate add account other >/dev/null || true
    on ctl sacctmgr --immediate add user daemon account=lab adminlevel=operator >/dev/null || true
    on ctl sacctmgr --immediate add coordinator account=lab names=bob >/dev/null || true
}
teardown_file() {
    no_tls
    on ctl sacctmgr --immediate delete coordinator account=lab names=bob || true
    on ctl sacctmgr --immediate delete user daemon || true
}

# asks TOKEN METHOD PATH [CURL-OPTION...]: the status, then the body; from a node, over TLS.
asks() {
    local token=$1 method=$2 path=$3
    shift 3
    on n1 curl -sS --cacert $site/rest-ca.pem -X "$method" -H "X-SLURM-USER-TOKEN: $token" -w '\n%{http_code}' "$@" \
        "https://ctl:6829$path"
}
# is STATUS CODE ARGUMENT-OF-ASKS...
is() {
    local want=$1 code=$2
    shift 2
    run asks "$@"
    [ "${lines[-1]}" = "$want" ] && [[ $output == *"$code"* ]] || { printf '%s\n%s\n' "$*" "$output" >&2; return 1; }
}
log_has() { on ctl grep -q -- "$1" /var/log/holdfast/coordinator.log; }

@test "a token of Slurm's is its user" {
    job=$(submit --checkpoint -J token -o token.out --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    is 200 "\"job_id\":$job" "$(token alice)" GET /v1/jobs
    is 200 '"committed"' "$(token alice)" POST "/v1/jobs/$job/save?wait=60"
    log_has "audit uid=.* user=alice by=token .*POST /v1/jobs/$job/save?wait=60.* status=200"
    is 200 '"jobs":[]' "$(token nobody)" GET /v1/jobs
    is 404 not-found "$(token nobody)" POST "/v1/jobs/$job/stop"
    log_has "audit .*user=nobody .*POST /v1/jobs/$job/stop.* status=404"
    is 200 "\"job_id\":$job" "$(token root)" GET /v1/jobs
    is 403 denied "$(token alice)" POST /v1/nodes/n4/evacuate
    alice scancel "$job"
}

@test "operators and coordinators of accounts, as sacctmgr has them" {
    job=$(submit --checkpoint -A lab -J account -o account.out --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    eventually 60 is 200 "\"job_id\":$job" "$(token daemon)" GET /v1/jobs
    eventually 60 is 200 "\"job_id\":$job" "$(token bob)" GET /v1/jobs
    is 200 '"committed"' "$(token bob)" POST "/v1/jobs/$job/save?wait=60"
    is 403 denied "$(token daemon)" POST /v1/nodes/n4/evacuate
    alice scancel "$job"
}

@test "what is wrong with a token is said" {
    is 401 token-expired "$(token alice -5)" GET /v1/jobs
    is 401 token-no-expiry "$(token alice -)" GET /v1/jobs
    is 401 token-algorithm "$(token root 600 none)" GET /v1/jobs
    is 401 token-algorithm "$(token root 600 HS512)" GET /v1/jobs
    is 401 token-user-unknown "$(token nosuchuser)" GET /v1/jobs
    is 401 token-malformed rubbish GET /v1/jobs
    on ctl sh -c 'head -c 32 /dev/urandom >/tmp/other.key'
    forged=$(on ctl /src/tests/integration/service/slurm_token.py /tmp/other.key root)
    is 401 token-signature "$forged" GET /v1/jobs
    is 401 token-user-mismatch "$(token alice)" GET /v1/jobs -H 'X-SLURM-USER-NAME: root'
    is 200 '"jobs"' "$(token alice)" GET /v1/jobs -H 'X-SLURM-USER-NAME: alice'
    is 401 token-signature "$forged" POST /v1/nodes/n1/evacuate
    log_has 'audit uid=unknown .*POST /v1/nodes/n1/evacuate.* status=401'
    run ! on ctl grep -qF "$forged" /var/log/holdfast/coordinator.log
}

@test "root's token speaks for others, as with Slurm" {
    is 200 '"jobs":[' "$(token root)" GET /v1/jobs -H 'X-SLURM-USER-NAME: alice'
    is 403 denied "$(token root)" GET /v1/expired -H 'X-SLURM-USER-NAME: alice'
    is 200 '"unwanted"' "$(token slurm)" GET /v1/expired
}

@test "no token without TLS, but from the coordinator's own machine" {
    run on n1 curl -sS -H "X-SLURM-USER-TOKEN: $(token alice)" http://ctl:6829/v1/jobs
    assert_contains "$output" token-in-clear
    run on ctl curl -sS -H "X-SLURM-USER-TOKEN: $(token alice)" http://localhost:6829/v1/jobs
    assert_contains "$output" '"jobs"'
    run on n1 curl -sS --cacert $site/rest-ca.pem --tls-max 1.1 https://ctl:6829/healthz
    [ "$status" != 0 ]
}

@test "a deleted checkpoint is removed by the timer, as its user" {
    job=$(submit --checkpoint -J deleted --checkpoint-keep=5 -o deleted.out --wrap 'sleep 1000')
    eventually 30 details_are "$job" .state running
    for _ in 1 2 3; do
        alice holdfast save "$job"
        eventually 30 details_are "$job" .state running
    done
    is 404 not-found "$(token nobody)" DELETE "/v1/jobs/$job/checkpoints/2"
    is 409 conflict "$(token alice)" DELETE "/v1/jobs/$job/checkpoints/3"
    is 202 job_id "$(token alice)" DELETE "/v1/jobs/$job/checkpoints/2"
    details_are "$job" '[.checkpoints[].state] | join(" ")' 'committed removing committed'
    on ctl holdfast prune --expired
    details_are "$job" '[.checkpoints[].state] | join(" ")' 'committed removed committed'
    alice holdfast verify "$job" --json | jq -e '[.checkpoints[].number] == [1, 3]'
    # It is restored from what stayed.
    alice holdfast migrate "$job"
    wait_for_restart "$job" 1
    alice scancel "$job"
}

@test "what others try: heads without end, many streams, readers who do not read" {
    token=$(token alice)
    run asks "$token" GET /v1/jobs -H "X-Long: $(head -c 20000 /dev/zero | tr '\0' x)"
    [[ ${lines[-1]} = 4?? ]] || [ "$status" != 0 ]
    run asks "$token" POST /v1/jobs/1/save --data-binary "@/usr/bin/bash"
    [[ ${lines[-1]} = 413 ]] || [ "$status" != 0 ]
    is 400 invalid "$token" GET "/v1/jobs?user=$(head -c 300 /dev/zero | tr '\0' x)"
    as alice n1 python3 /src/tests/integration/service/crowd.py "$token" $site/rest-ca.pem
    is 200 '"jobs"' "$token" GET /v1/jobs
    # Somebody else's streams are not taken by alice's.
    is 200 '"jobs"' "$(token bob)" GET /v1/jobs
    run on n1 timeout 5 curl -sS -N --cacert $site/rest-ca.pem -H "X-SLURM-USER-TOKEN: $(token bob)" https://ctl:6829/v1/events
    assert_contains "$output" ': holdfast'
}
