# dialogue.py: drives a shell in a terminal as expect(1) does, and prints all it says.
import os, pty, select, sys, time

pid, master = pty.fork()
if pid == 0:
    os.environ["PS1"] = "$ "
    os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])


def until(end):
    text = b""
    while not text.endswith(end):
        text += os.read(master, 1024)
    sys.stdout.write(text.decode())
    sys.stdout.flush()


until(b"$ ")
print("READY", flush=True)
for i in range(120):
    os.write(master, b"printf '%s\\n' answer-" + b"%d; x=$((x + 1)); tty; sleep 0.0%d; echo $x\n" % (i, i % 10))
    time.sleep(0.1)  # it has printed, and nobody has read
    until(b"\n%d\r\n$ " % (i + 1))
os.write(master, b"\x04")
try:
    while part := os.read(master, 1024):
        sys.stdout.write(part.decode())
except OSError:
    pass
print("status", os.waitpid(pid, 0)[1])
