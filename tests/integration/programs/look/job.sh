#!/bin/bash
# job.sh DIRECTORY KIND...: a look at each kind, all at once; what they tell is in DIRECTORY/KIND.out.
here=$1
shift
mkdir -p "$here"
for kind in "$@"; do
    mkdir -p "$here/$kind"
    (cd "$here/$kind" && exec /shared/alice/look "$kind" "$here/go" >"$here/$kind.out" 2>&1) &
done
wait
