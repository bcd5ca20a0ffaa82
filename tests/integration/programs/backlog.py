# backlog.py: connections that wait to be accepted, TCP and Unix; one that is never accepted with "never".
import os, socket, sys, threading, time

answers = []


def client(family, address, me):
    with socket.socket(family) as s:
        s.connect(address)
        s.sendall(b"request %d\n" % me)
        answers.append((family.name, me, s.makefile().readline()))


def connect(family, listener, count):
    threads = [threading.Thread(target=client, args=(family, listener.getsockname(), n), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    return threads


threads = []
tcp = socket.create_server(("127.0.0.1", 0), backlog=64)
threads += connect(socket.AF_INET, tcp, 8)
local = socket.socket(socket.AF_UNIX)
path = f"/tmp/backlog.{os.getpid()}"
local.bind(path)
local.listen(64)
threads += connect(socket.AF_UNIX, local, 8)
print("READY", flush=True)
if "never" in sys.argv:
    while not os.path.exists("go"):
        time.sleep(0.05)
for n in range(8):
    for listener in (tcp, local):
        connection, _ = listener.accept()
        with connection:
            me = connection.makefile().readline().split()[1]
            connection.sendall(f"answer {me}\n".encode())
    if "never" not in sys.argv:
        time.sleep(0.7)
for thread in threads:
    thread.join()
os.unlink(path)
print(*sorted(answers), sep="\n")
while not os.path.exists("go"):
    time.sleep(0.05)
