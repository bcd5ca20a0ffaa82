"""A server: whoever connects says a number and gets that and the next ones, ten in a second.

answer.py PORT: it never reads after the first line, so that its clients only read.
"""
import socket
import sys
import threading
import time


def serve(connection):
    try:
        number = int(connection.makefile("rb").readline())
        while True:
            connection.sendall(b"%d\n" % number)
            number += 1
            time.sleep(0.1)
    except OSError:
        connection.close()


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", int(sys.argv[1])))
listener.listen()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
