"""node_client.py PATH COUNT: asks a daemon of the node, one connection for all as long as it lives; says on
stderr how connections ended."""
import socket
import sys
import time

connection = None
for number in range(int(sys.argv[2])):
    while True:
        try:
            if connection is None:
                connection = socket.socket(socket.AF_UNIX)
                connection.settimeout(20)
                connection.connect(sys.argv[1])
            connection.sendall(b"%d\n" % number)
            answer = connection.recv(100)
            if answer == b"":
                raise ConnectionError("end of the stream")
            break
        except OSError as error:
            print(f"lost: {error}", file=sys.stderr, flush=True)
            connection = None
    if answer != b"%d\n" % number:
        sys.exit(f"got {answer!r} instead of {number}")
    print(number, flush=True)
    time.sleep(0.1)
