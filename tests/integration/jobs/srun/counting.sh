#!/bin/bash
# sbatch: --nodes=2 --ntasks-per-node=2
# Four tasks on two nodes that print and count, a step in the background, and one in a pipe: for a
# move in the middle. Files: go (the tasks end when it is there).
export LC_ALL=C
srun --overlap -n 1 -N 1 bash -c 'until [ -e go ]; do sleep 0.1; done; echo "monitor ends"' >monitor &
seq 1 20000 | srun --overlap -n 4 bash -c '
    for ((i = 1; i <= 20; i++)); do
        read -r line
        echo "task $SLURM_PROCID on node $SLURM_NODEID: $i $line"
        sleep 0.2
    done
    echo "running $SLURM_PROCID"
    until [ -e go ]; do sleep 0.1; done
    for ((; i <= 40; i++)); do
        read -r line
        echo "task $SLURM_PROCID on node $SLURM_NODEID: $i $line"
    done
    exit "$SLURM_PROCID"' >counted
echo "counted: $?"
wait
cat monitor
sort counted | cksum
srun -n 4 bash -c 'echo "after: $SLURM_PROCID of $SLURM_NTASKS in step $SLURM_STEP_ID"' | sort
