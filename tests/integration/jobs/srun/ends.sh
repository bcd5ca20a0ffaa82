#!/bin/bash
# sbatch: --nodes=2 --ntasks-per-node=2
# How steps end: codes, signals, limits, and what srun says of it on stderr.
export LC_ALL=C
ulimit -c 0
end() { echo "== $*"; srun "$@" 2>messages; echo "rc $?"; sort messages; }
end -n 4 true
end -n 1 -N 1 bash -c 'exit 7'
end -n 4 bash -c '[ "$SLURM_PROCID" = 2 ] && exit 3; exit 0'
end -n 4 bash -c 'sleep 0.$SLURM_PROCID; exit $((SLURM_PROCID * 10))'
end -n 1 -N 1 bash -c 'kill -TERM $$'
end -n 1 -N 1 bash -c 'kill -KILL $$'
end -n 1 -N 1 bash -c 'kill -SEGV $$'
end -n 1 -N 1 bash -c 'kill -USR1 $$'
end -n 2 bash -c '[ "$SLURM_PROCID" = 0 ] && exit 40; sleep 0.3; kill -TERM $$'
# Slurm's ends the others by SIGTERM or, sometimes, by SIGKILL.
srun -n 2 -K bash -c '[ "$SLURM_PROCID" = 1 ] && exit 3; exec sleep 60' 2>/dev/null
[ $? -ge 137 ] && echo 'the others were ended'
end -n 2 --kill-on-bad-exit=0 bash -c '[ "$SLURM_PROCID" = 1 ] && exit 3; sleep 0.5; echo "went on"'
end -n 4 -W 1 bash -c '[ "$SLURM_PROCID" = 1 ] || exec sleep 60'
end -n 1 -N 1 ./missing
end -n 1 -N 1 missing
end -n 1 -N 1 /etc/passwd
end -n 1 -N 1 -D /missing pwd
end -n 9 true
end -N 3 true
end -n 1 -N 1 -c 99 true
end -n 1 -N 1 -w n9 true
end -n 1 -N 1 -r 7 true
end -n x true
end -N x true
end -c 0 true
end --bogus true
end --cpu-bind=wrong true
end --mem=wrong true
end --time=wrong true
end -m wrong true
end --hint=wrong true
end --open-mode=wrong true
end --propagate=WRONG true
end --multi-prog missing
end
end -n 4 --ntasks-per-node=1 true
end -n 1 true
end -n 1 -N 1 -A any -p spot -q normal --comment x true
end -n 4 bash -c 'exec 1>&- 2>&-; sleep 0.2'
end -n 1 -N 1 bash -c 'sleep 300 & echo left behind'
stopped() { # SIGNAL: to srun
    echo "== $1"
    rm -f up.*
    srun -n 2 bash -c 'touch "up.$SLURM_PROCID"; exec sleep 60' 2>messages &
    until [ -e up.0 ] && [ -e up.1 ]; do sleep 0.1; done
    kill "-$1" $!
    wait $!
    echo "rc $?"
    sort messages
}
stopped TERM
stopped HUP
stopped USR1
stopped USR2
# Last: Slurm's srun leaves a step behind here that takes its nodes.
end -n 1 -N 1 -o /missing/out true
