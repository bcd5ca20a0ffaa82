"""A daemon of a node, as sssd is: node_daemon.py PATH listens there and repeats what its clients say."""
import os
import socket
import sys
import threading


def serve(connection):
    try:
        for line in connection.makefile("rb"):
            connection.sendall(line)
    except OSError:
        pass  # the client is gone


listener = socket.socket(socket.AF_UNIX)
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
if os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
listener.listen()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
