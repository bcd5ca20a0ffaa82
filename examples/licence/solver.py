#!/usr/bin/env python3
"""A solver that needs a licence: it asks a server outside of the job before each step.

usage: solver.py HOST:PORT [STEPS [PAUSE_MS]]

It keeps one connection for as long as that lives. If it is lost, as with every move, it checks a
licence out again, as licensed programs do, and says so on stderr. Its result does not depend on it.
"""
import socket
import sys
import time


class Licence:
    def __init__(self, server):
        self.address = tuple(server.rsplit(":", 1))
        self.stream = None

    def check(self):
        """Returns when the server has granted a step, however long that takes."""
        while True:
            try:
                if self.stream is None:
                    self.stream = socket.create_connection(self.address, timeout=60).makefile("rw")
                    request = f"checkout {socket.gethostname()}\n"
                else:
                    request = "alive\n"
                self.stream.write(request)
                self.stream.flush()
                if self.stream.readline() == "granted\n":
                    return
                self.lose("no seat is free")
            except OSError as error:
                self.lose(error)

    def lose(self, why):
        print(f"licence lost ({why}), asking again", file=sys.stderr, flush=True)
        self.stream = None
        time.sleep(1)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 600
    pause_ms = float(sys.argv[3]) if len(sys.argv) > 3 else 0
    licence = Licence(sys.argv[1])
    # Newton's method for many roots: a step each.
    total = 0.0
    for step in range(1, steps + 1):
        licence.check()
        root = float(step)
        for _ in range(60):
            root -= (root * root - step) / (2 * root)
        total += root
        if step % max(1, steps // 20) == 0:
            print(f"step {step} of {steps}, sum of roots {total!r}", flush=True)
        time.sleep(pause_ms / 1000)


if __name__ == "__main__":
    main()
