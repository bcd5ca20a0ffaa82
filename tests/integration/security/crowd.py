"""crowd.py HOST PORT...: connects a thousand times to each port and says nothing, for ever anew."""
import resource
import selectors
import socket
import sys

CONNECTIONS = 1000

resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
waiting = selectors.DefaultSelector()


def connect(port):
    waiting.register(socket.create_connection((sys.argv[1], port)), selectors.EVENT_READ, port)


for port in map(int, sys.argv[2:]):
    for _ in range(CONNECTIONS):
        connect(port)
print("all are there", flush=True)
while True:
    for key, _ in waiting.select():
        try:
            sent_away = not key.fileobj.recv(4096)
        except ConnectionError:
            sent_away = True
        if sent_away:
            waiting.unregister(key.fileobj)
            key.fileobj.close()
            connect(key.data)
