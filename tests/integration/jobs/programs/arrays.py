"""Rounds of numpy and scipy with the threads of their BLAS, a mapped array, and an HDF5 file that
grows."""
import os
import subprocess

import h5py
import numpy
import scipy.linalg

generator = numpy.random.default_rng(1)
matrix = generator.integers(0, 5, (300, 300)).astype(float)
mapped = numpy.memmap("mapped", dtype="f8", mode="w+", shape=(60, 300))
with h5py.File("rows.h5", "w") as file:
    rows = file.create_dataset("rows", (0, 300), maxshape=(None, 300), chunks=(4, 300), compression="gzip")
    for i in range(60):
        matrix = ((matrix @ matrix) % 7 + i) % 5
        _, upper = scipy.linalg.qr(matrix[:50, :50])
        rows.resize(i + 1, axis=0)
        rows[i] = mapped[i] = matrix[i]
        if i % 10 == 0:
            file.flush()
            mapped.flush()
        print("round", i, matrix.sum(), round(float(abs(upper).sum()), 6), flush=True)
        subprocess.run([os.path.dirname(__file__) + "/pause", *["last"][: i == 59]], check=True)
with h5py.File("rows.h5") as file:
    print("rows", file["rows"][:].sum(), mapped.sum())
