"""joblib: loky's processes, which take over each other's semaphores, and an array that they map. A line a round."""
import os
import time

import joblib
import numpy


def norm(matrix, n):
    return float(numpy.round(numpy.abs(matrix[n :: 7]).sum(), 6))


def more(n):
    return n < int(os.environ["ROUNDS"]) if "ROUNDS" in os.environ else not os.path.exists("go")


if __name__ == "__main__":
    matrix = numpy.random.default_rng(1).random((700, 400))
    n = 0
    with joblib.Parallel(n_jobs=3, max_nbytes="1M") as parallel:
        while more(n):
            print("round", n, *parallel(joblib.delayed(norm)(matrix, k) for k in range(6)), flush=True)
            time.sleep(float(os.environ["PAUSE"]))
            n += 1
    print("done")
