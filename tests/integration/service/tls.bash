# shellcheck shell=bash
# TLS and Slurm's tokens for the REST API, until no_tls. The lab's Slurm has no auth/jwt (Debian has
# that in a package of its own), so tokens are made here, with a key as slurmctld would have it.

site=/etc/holdfast

with_tls() {
    on ctl cp $site/holdfast.yaml $site/holdfast.yaml.plain
    on ctl openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ctl \
        -addext subjectAltName=DNS:ctl,DNS:localhost -keyout $site/rest-key.pem -out $site/rest-ca.pem
    on ctl sh -c "head -c 32 /dev/urandom >$site/jwt_hs256.key"
    on ctl chown holdfast $site/rest-key.pem $site/jwt_hs256.key
    on ctl chmod 640 $site/rest-key.pem $site/jwt_hs256.key
    printf 'rest:\n  certificate: %s\n  key: %s\n  jwt_key: %s\n' $site/rest-ca.pem $site/rest-key.pem $site/jwt_hs256.key |
        on ctl tee -a $site/holdfast.yaml >/dev/null
    on ctl /src/lab/lib/coordinator reload
    for node in n1 n2; do on ctl cat $site/rest-ca.pem | on $node tee $site/rest-ca.pem >/dev/null; done
    served() { on n1 curl -sS --cacert $site/rest-ca.pem https://ctl:6829/healthz; }
    eventually 10 served
}
no_tls() {
    on ctl mv $site/holdfast.yaml.plain $site/holdfast.yaml
    on ctl /src/lab/lib/coordinator reload
}

# token USER [ARGUMENT...]: as slurm_token.py makes it.
token() { on ctl /src/tests/integration/service/slurm_token.py $site/jwt_hs256.key "$@"; }
