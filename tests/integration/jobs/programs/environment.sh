# What conda and environment modules leave in a job: a shell function that is exported, variables, and an
# interpreter of an environment's own, which is found by its path.
module() { eval "loaded=\$1; export LOADED=\${LOADED:+\$LOADED:}\$1"; }
export -f module
python3 -m venv --without-pip env
. env/bin/activate
for i in $(seq 20); do
    module "tool/$i"
    bash -c 'module of/child; echo "round '"$i"' ${LOADED##*:} $(echo "$LOADED" | md5sum)"'
    python -c 'import sys, os; print(sys.prefix == os.environ["VIRTUAL_ENV"], os.path.basename(sys.executable))'
    $PAUSE
done
$PAUSE last
deactivate
type -t module
echo "${VIRTUAL_ENV-none}"
