#!/usr/bin/env bats
# MPI programs started by srun, of MPICH (PMI) and Open MPI (PMIx), and what moves in them.

load ../lib
load compare

setup_file() {
    idle_cluster
    for mpi in openmpi mpich; do
        alice "mpicc.$mpi" -o "ranks-$mpi" /src/tests/integration/jobs/ranks.c
    done
}

# bats test_tags=slice
@test "with --mpi, tasks find each other as by Slurm, and end as Slurm's do" { both_ways mpi.sh; }

@test "nobody has to say which MPI it is" {
    local job
    job=$(submit --checkpoint -N2 --ntasks-per-node=2 -o out -e err --wrap '
        for mpi in openmpi mpich; do for how in "" "-n 3" "-N 1 -n 2" "-m cyclic" "-O -n 9"; do
            srun $how ./ranks-$mpi; done; done
        MPIR_CVAR_PMI_VERSION=2 srun ./ranks-mpich
        srun -n 1 python3 -c "from mpi4py import MPI; print(MPI.COMM_WORLD.size, \"by mpi4py\")"
        for where in -w -x; do srun $where "$(hostname)" -N 1 -n 1 mpirun -n 2 ./ranks-openmpi; done
        # Of steps that are over nothing is left.
        srun -N 2 --mpi=none sh -c "ls /tmp | grep pmix"; true')
    wait_for_end "$job" 120
    output=$(on ctl cat /shared/alice/out)
    assert_equal "$output" '4 ranks, 2 on my node, sum 10
3 ranks, 2 on my node, sum 6
2 ranks, 2 on my node, sum 3
4 ranks, 2 on my node, sum 10
9 ranks, 5 on my node, sum 45
4 ranks, 2 on my node, sum 10
3 ranks, 2 on my node, sum 6
2 ranks, 2 on my node, sum 3
4 ranks, 2 on my node, sum 10
9 ranks, 5 on my node, sum 45
4 ranks, 2 on my node, sum 10
1 by mpi4py
2 ranks, 2 on my node, sum 3
2 ranks, 2 on my node, sum 3'
}

# While tasks have not begun, while they wait in MPI_Init for the last of them, in MPI_Finalize.
moves_in_the_middle() { # MPI
    local job directory=/shared/alice/staged-$1
    on ctl rm -rf "$directory"
    on ctl install -d -o alice -g alice "$directory"
    job=$(submit --checkpoint -N2 --ntasks-per-node=2 -o "$directory/out" --wrap "
        srun sh -c 'touch $directory/begun.\$SLURM_PROCID; until [ -e $directory/go ]; do sleep 0.1; done
            exec ./ranks-$1 staged $directory'")
    all_begun() { [ "$(on ctl sh -c "ls $directory | grep -c begun")" = 4 ]; }
    eventually 60 all_begun
    move "$job"
    as alice ctl touch "$directory/go"
    wait_for_text "$directory/out" 'entering init'
    sleep 1
    move "$job"
    as alice ctl touch "$directory/init"
    wait_for_text "$directory/out" 'entering finalize'
    sleep 1
    move "$job"
    as alice ctl touch "$directory/finalize"
    wait_for_end "$job"
    assert_equal "$(on ctl cat "$directory/out")" 'entering init
4 ranks, 2 on my node, sum 10
entering finalize
finalized'
    assert_equal "$(job_field "$job" JobState)" COMPLETED
}

# bats test_tags=slice
@test "Open MPI moves in the middle of start, of MPI_Init and of MPI_Finalize" { moves_in_the_middle openmpi; }

@test "MPICH moves in the middle of start, of MPI_Init and of MPI_Finalize" { moves_in_the_middle mpich; }

# moved_twice SCRIPT TEXT: the last line of its output is that of an unmoved run. TEXT: it is under way.
moved_twice() {
    local script=$examples/$1 plain job
    on ctl rm -f /shared/alice/moved.out
    plain=$(alice env ROUNDS=100 PAUSE_MS=0 sbatch --parsable --checkpoint -p urgent -o plain.out "$script")
    wait_for_end "$plain"
    job=$(alice env ROUNDS=100 PAUSE_MS=500 sbatch --parsable -o moved.out "$script")
    wait_for_text /shared/alice/moved.out "$2"
    move "$job"
    move "$job"
    wait_for_end "$job"
    assert_equal "$(job_field "$job" JobState)" COMPLETED
    assert_equal "$(on ctl cat /shared/alice/moved.out)" "$(on ctl cat /shared/alice/plain.out)"
    assert_contains "$(on ctl tail -n 1 /shared/alice/moved.out)" digest
}

@test "the example mpich is moved twice" { moved_twice mpich/mpich.sbatch round; }

@test "the example srun-hybrid, MPI and OpenMP, is moved twice" { moved_twice srun-hybrid/hybrid.sbatch round; }

@test "an abort, a lost rank and a refused spawn" {
    local job
    job=$(submit --checkpoint -N2 --ntasks-per-node=2 -o out --wrap '
        for mpi in openmpi mpich; do
            srun ./ranks-$mpi abort; echo "$mpi abort: $?"
            srun -K ./ranks-$mpi fail; echo "$mpi fail: $?"
            srun ./ranks-$mpi spawn; echo "$mpi spawn: $?"
        done
        srun ./ranks-mpich; srun ./ranks-openmpi')
    wait_for_end "$job" 120
    output=$(on ctl cat /shared/alice/out)
    assert_contains "$output" 'openmpi abort: 7'
    assert_contains "$output" 'mpich abort: 137'
    assert_contains "$output" 'task 1: Exited with exit code 3'
    assert_contains "$output" 'MPI_Comm_spawn) is not possible by srun'
    assert_contains "$output" 'spawn refused'
    [[ $output != *'spawn done'* ]]
    # The nodes are free, and the next steps run.
    assert_equal "$(tail -n 2 <<<"$output" | sort -u)" '4 ranks, 2 on my node, sum 10'
}

@test "where there is no PMIx library srun works, and --mpi=pmix says why not" {
    local job library
    # Not a link to it, of which there may be several.
    library=$(on n1 readlink -f /usr/lib/x86_64-linux-gnu/libpmix.so.2)
    on n1 mv "$library" "$library.away"
    job=$(submit --checkpoint -N1 -n2 -w n1 -o out --wrap '
        srun ./ranks-mpich; srun --mpi=pmix true; echo "exit: $?"; srun echo on')
    wait_for_end "$job"
    on n1 mv "$library.away" "$library"
    output=$(on ctl cat /shared/alice/out)
    assert_contains "$output" '2 ranks, 2 on my node, sum 3'
    assert_contains "$output" 'libpmix.so.2: cannot open shared object file'
    assert_contains "$output" 'exit: 1'
    assert_equal "$(tail -n 2 <<<"$output")" $'on\non'
}

@test "a thousand ranks start" {
    local job
    alice gcc -o many /src/tests/integration/jobs/many.c
    job=$(submit --checkpoint -N2 --mem=2G -o out --wrap 'srun -O -n 1000 ./many; echo "exit: $?"')
    wait_for_end "$job"
    assert_equal "$(on ctl cat /shared/alice/out)" 'exit: 0'
}
