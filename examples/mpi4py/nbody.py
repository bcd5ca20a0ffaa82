#!/usr/bin/env python3
"""Stars under their own gravity: mpi4py, with snapshots that all ranks write to one HDF5 file.

usage: mpirun python3 nbody.py FILE.h5 [STARS [STEPS [EVERY [PAUSE_MS]]]]

Each rank has a share of the stars. Every step all ranks exchange positions, and every EVERY steps a
snapshot is written with parallel HDF5, in place, and flushed. PAUSE_MS stretches each such interval,
to watch it move. Nothing in it knows of checkpoints. The same arguments give the same file, bit for
bit, however often the job was interrupted.
"""
import sys
import time

import h5py
import numpy
from mpi4py import MPI

STEP = 1e-3
SOFTENING = 0.05  # keeps close encounters finite


def acceleration(mine, everyone, masses):
    distance = everyone[numpy.newaxis, :, :] - mine[:, numpy.newaxis, :]
    cubed = (numpy.sum(distance**2, axis=2) + SOFTENING**2) ** 1.5
    return numpy.sum(distance * (masses / cubed)[:, :, numpy.newaxis], axis=1)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    stars, steps, every, pause_ms = (
        int(sys.argv[i]) if len(sys.argv) > i else fallback
        for i, fallback in ((2, 256), (3, 2000), (4, 20), (5, 0)))
    world = MPI.COMM_WORLD
    share = stars // world.size
    mine = slice(world.rank * share, (world.rank + 1) * share)
    stars = share * world.size

    # All ranks draw all stars, and keep theirs.
    random = numpy.random.default_rng(5)
    everyone = random.normal(size=(stars, 3))
    velocity = 0.3 * random.normal(size=(stars, 3))[mine]
    masses = random.uniform(0.5, 1.5, size=stars) / stars
    position = everyone[mine].copy()

    with h5py.File(sys.argv[1], "w", driver="mpio", comm=world) as file:
        snapshots = file.create_dataset("position", (steps // every, stars, 3), "f8")
        file["mass"] = masses
        for step in range(1, steps + 1):
            velocity += STEP * acceleration(position, everyone, masses)
            position += STEP * velocity
            world.Allgather(position, everyone)
            if step % every != 0:
                continue
            with snapshots.collective:
                snapshots[step // every - 1, mine] = position
            file.flush()
            energy = world.reduce(float(numpy.sum(masses[mine] * numpy.sum(velocity**2, axis=1)) / 2))
            if world.rank == 0:
                print(f"step {step} of {steps}, kinetic energy {energy!r}", flush=True)
            time.sleep(pause_ms / 1000)


if __name__ == "__main__":
    main()
