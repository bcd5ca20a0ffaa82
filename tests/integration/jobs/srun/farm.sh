#!/bin/bash
# sbatch: --nodes=2 --ntasks-per-node=2
# Many steps: in the background, waiting for each other, over each other, hundreds of short ones.
export LC_ALL=C
for i in {1..60}; do srun -N1 -n1 --exact bash -c 'echo "case $0"' "$i" >"case.$i" & done
wait
cat case.* | sort | cksum
rm -f case.*
for i in {1..120}; do srun -n1 -N1 bash -c 'exit $(($0 % 2))' "$i" 2>/dev/null; codes+="$?"; done
echo "$codes"
srun -n 4 bash -c 'sleep 1; echo "first $SLURM_PROCID"' >first &
sleep 0.4
srun -N 1 -n 1 bash -c 'echo "waited for $(cat first | wc -l)"'
wait
srun -n 4 sleep 2 &
sleep 0.4
srun -I -N 1 -n 1 true; echo "immediately: $?"
wait
srun --overlap -n 4 sleep 1 &
sleep 0.2
srun --overlap -n 4 bash -c 'echo "over it $SLURM_PROCID"' | sort
wait
pids=()
for code in 0 2 0 4; do
    srun -N1 -n1 --exclusive bash -c 'sleep 0.2; exit $0' "$code" 2>/dev/null &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; echo "ended with $?"; done
seq 1 12 | xargs -P 4 -I{} srun -N1 -n1 --exact bash -c 'echo "xargs {}"' | sort
srun --overlap -n 1 -N 1 bash -c 'srun --overlap -n 2 -N 1 echo nested'
# The most that run at once, by two CPUs a node.
for i in {1..8}; do
    srun -N1 -n1 --exact bash -c 'touch "on.$0"; sleep 0.3; ls | grep -c "^on"; rm "on.$0"' "$i" >"most.$i" &
done
wait
[ "$(cat most.* | sort -n | tail -n 1)" -le 4 ] && echo 'never more than four'
rm -f most.* first
