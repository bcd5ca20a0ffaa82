"""dask: a local cluster, with a scheduler, nannies and workers that speak TCP. A line a round."""
import os
import time

from dask.distributed import Client, LocalCluster


def work(n):
    total = 0
    for i in range(100000):
        total = (total * 31 + n * i) % 1000003
    return total


def more(n):
    return n < int(os.environ["ROUNDS"]) if "ROUNDS" in os.environ else not os.path.exists("go")


if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster, Client(cluster) as client:
        n = 0
        while more(n):
            parts = client.map(work, range(6 * n, 6 * n + 6))
            print("round", n, client.submit(sum, parts).result(), *client.gather(parts), flush=True)
            time.sleep(float(os.environ["PAUSE"]))
            n += 1
    print("done")
