"""A pool of processes that hands out work and gathers a digest."""
import hashlib
import multiprocessing
import time


def work(number):
    digest = b"%d" % number
    for _ in range(20000):
        digest = hashlib.sha256(digest).digest()
    time.sleep(0.5)
    return digest


if __name__ == "__main__":
    total = hashlib.sha256()
    with multiprocessing.Pool(3) as pool:
        for result in pool.imap(work, range(150)):
            total.update(result)
    print(total.hexdigest())
