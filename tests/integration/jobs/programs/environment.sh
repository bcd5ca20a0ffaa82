# An environment of Python's beside the job, made, moved to another prefix as conda does it, activated and used by name, together
# with modules; a subshell, a login shell and a program by its shebang find the same. A line a round,
# until there is a file "go", or as many as ROUNDS says.
set -e
here=$PWD
. /etc/profile.d/modules.sh
mkdir -p modulefiles tools
printf '#%%Module1.0\nprepend-path PATH %s/tools\nsetenv TOOLS_VERSION 1.2\n' "$here" >modulefiles/tools
printf '#!/bin/bash\necho "tool $TOOLS_VERSION"\n' >tools/tool
chmod +x tools/tool
export MODULEPATH=
module use "$here/modulefiles"
module load tools

python3 -m venv --without-pip --system-site-packages built
mkdir built/lib/extra
printf 'import os, sys\nprint(os.path.basename(sys.prefix), sys.argv[1], flush=True)\n' >built/lib/extra/told.py
printf '#!%s/built/bin/python3\nimport sys\nsys.path.insert(0, sys.prefix + "/lib/extra")\nimport told\n' "$here" >built/bin/told
chmod +x built/bin/told
mv built environment
grep -rlIF "$here/built" environment | xargs sed -i "s|$here/built|$here/environment|g"
. environment/bin/activate

n=0
while if [ -n "${ROUNDS:-}" ]; then [ "$n" -lt "$ROUNDS" ]; else [ ! -e go ]; fi; do
    echo "round $n $(tool) $(told $n) $(bash -c 'tool; told inner' | paste -sd' ') $(python3 -c 'import sys; print(sys.prefix != sys.base_prefix)') ${LOADEDMODULES##*:}"
    sleep "$PAUSE"
    n=$((n + 1))
done
deactivate
echo "done $(command -v told || echo 'no longer there')"
