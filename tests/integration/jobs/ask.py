"""A job that keeps asking a server: counts answers, and how its connections ended.

ask.py HOST PORT ANSWERS [half] reads as many answers, and more until there is a file "go", one connection for
all as long as it lives. With `half` it closes its side of each once it has asked.
"""
import os
import socket
import sys

host, port, wanted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
expected = 0


def enough():
    return expected >= wanted and os.path.exists("go")


while not enough():
    connection = socket.create_connection((host, port), timeout=20)
    connection.sendall(b"%d\n" % expected)
    if sys.argv[4:] == ["half"]:
        connection.shutdown(socket.SHUT_WR)
    try:
        for line in connection.makefile("rb"):
            if int(line) != expected:
                sys.exit(f"got {line!r} instead of {expected}")
            expected += 1
            print(expected, flush=True)
            if enough():
                break
    except OSError as error:
        print(f"lost: {type(error).__name__}", file=sys.stderr, flush=True)
print("all")
