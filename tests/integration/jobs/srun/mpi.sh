#!/bin/bash
# sbatch: --nodes=2 --ntasks-per-node=2
# MPI programs where Slurm has the same interfaces. The tasks' lines may come in any order.
export LC_ALL=C
openmpi=/shared/alice/ranks-openmpi mpich=/shared/alice/ranks-mpich
run() {
    echo "== $*"
    echo "== $*" >&2
    srun "$@" 2>srun.err | sort
    echo "exit: ${PIPESTATUS[0]}"
    sed "s|mpi/pmix_v5: .*Error|mpi/pmix: Error|" srun.err | sort -u >&2
}
run --mpi=pmi2 "$mpich"
run --mpi=pmi2 -m cyclic "$mpich"
run --mpi=none "$mpich"
SLURM_MPI_TYPE=pmi2 run -N 1 -n 2 "$mpich"
run --mpi=pmi2 "$mpich" abort
run --mpi=pmi2 -K "$mpich" fail
run --mpi=pmi2 "$mpich" fail softly
run --mpi=pmi2 -l bash -c 'echo $PMI_RANK $PMI_SIZE $PMI_JOBID $SLURM_MPI_TYPE'
# On one node: between two, plain Open MPI may crash at its start on a busy machine.
one=(-N 1 -n 2)
run --mpi=pmix "${one[@]}" "$openmpi"
run --mpi=pmix_v5 "${one[@]}" "$openmpi"
run --mpi=none "${one[@]}" "$openmpi"
run --mpi=openmpi "${one[@]}" "$openmpi"
run --mpi=pmix "${one[@]}" "$openmpi" abort
run --mpi=pmix "${one[@]}" "$openmpi" fail
run --mpi=pmix -l bash -c 'echo $PMIX_RANK $PMIX_NAMESPACE $SLURM_MPI_TYPE'
run --mpi=wrong hostname
run --mpi=PMIX hostname
rm srun.err
