#!/bin/bash
# sbatch: --nodes=2 --ntasks-per-node=2
# Which tasks run where: counts, nodes, distributions, and how each is written.
export LC_ALL=C
where='echo "$SLURM_PROCID of $SLURM_NTASKS at $SLURM_LOCALID on $SLURM_NODEID of $SLURM_NNODES: $SLURMD_NODENAME"'
nodes=(n1 n2)
show() { echo "== $*"; srun "$@" bash -c "$where" | sort; }
show
show -n 1
show -N 1
show -N 2 -n 2
show -n3
show -N1 -n2
show --ntasks-per-node=1
show -N 2 --ntasks-per-node=1
show --nodes=1 --tasks-per-node 2
show -n 4 --distribution=cyclic
show -n 3 -m plane=2
show -n 4 -m block:cyclic
show -w "${nodes[1]}" -n 1
show -w "${nodes[0]},${nodes[1]}" -n 2
show -x "${nodes[0]}" -N 1 -n 2
show -r 1 -N 1 -n 1
show -n 3 -w "${nodes[1]},${nodes[0]},${nodes[1]}" -m arbitrary
printf '%s\n' "${nodes[1]}" "${nodes[1]}" "${nodes[0]}" >hosts
SLURM_HOSTFILE=hosts show
show -n 6 --overcommit
show -n 2 --exact
show --lab -n 2
SLURM_NTASKS=3 show
SLURM_DISTRIBUTION=cyclic show
show -N 1-2
show -N1 -n1
show -N1 -n1
show -N1 -n1
