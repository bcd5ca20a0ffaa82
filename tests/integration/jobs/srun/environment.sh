#!/bin/bash
# sbatch: --nodes=2 --ntasks-per-node=2
# All that a task sees of its environment, for options that change it.
export LC_ALL=C OURS='two words'
# Without what is different in every run, where the job's programs listen, and what makes MPI work
# in a checkpointed job, by mpirun and by srun.
fixed() {
    grep -vE '^ *[0-9]+ (SLURM_(STEP_LAUNCHER_PORT|SRUN_COMM_PORT|SRUN_COMM_HOST|LAUNCH_NODE_IPADDR|TASK_PID|JOB_START_TIME|JOB_END_TIME|SUBMIT_DIR|SPANK_.*)|PWD|PMI_(FD|JOBID|RANK|SIZE)|PMIX_[A-Z0-9_]*|FI_(PROVIDER|TCP_IFACE)|I_MPI_HYDRA_[A-Z_]*|HYDRA_(HOST_FILE|IFACE|LAUNCHER|LAUNCHER_EXEC)|OMPI_MCA_(btl.*|pml)|PRTE_MCA_(plm|plm_ssh_agent|ras|prte_.*)|UCX_NET_DEVICES)='
}
show() { echo "== $*"; srun "$@" /usr/bin/env | sort | uniq -c | fixed; }
show
show -n 1
show -N 1 -n 1 -c 1
show -N 1 -n 2
show -n 2 --cpu-bind=cores
show -n 2 --cpu-bind=none
show -N 1 -n 2 --cpu-bind=map_cpu:0,1
show -N 1 -n 2 --cpu-bind=mask_cpu:0x2,0x1
show -N 1 -n 2 --cpu-bind=sockets
show -n 3 --cpu-bind=threads
show -n 2 --hint=nomultithread
show -n 2 --threads-per-core=1
show -n 2 --exact
show -n 2 --overlap
show -n 2 --mem=100M
show -n 2 --mem-per-cpu=50
show -m cyclic -n 3
show -m plane=2
show -N 1 -n 4 -O
show -n 2 -J named
show -n 2 -K -W 5 -t 5
show -n 2 -Q
srun -n 2 -l /usr/bin/env | grep SLURM_LABELIO | sort
show --export=NONE -n 1
show --export=HOME,NEW=5 -n 1
show --export=ALL,NEW=5 -n 1
show --export=NIL -n 1
SLURM_EXPORT_ENV=NONE show -n 1
SRUN_CPUS_PER_TASK=1 show -n 2
SLURM_CPUS_PER_TASK=1 show -n 2
SLURM_NNODES=1 show -n 2
SLURM_JOB_NUM_NODES=1 show -n 2
srun -n 1 bash -c 'umask; ulimit -S -n; [ "$PWD" = "$0" ] && echo same; grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status' "$PWD"
ulimit -S -n 300 && umask 027
srun -n 1 bash -c 'umask; ulimit -S -n; readlink /proc/self/fd/* | grep -c pipe'
srun -n 1 -D / pwd
