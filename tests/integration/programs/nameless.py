# Files whose names are gone while they are open. Says what is in them, and in the directory, at the end.
import os
import time


def until(path):
    while not os.path.exists(path):
        time.sleep(0.05)


os.makedirs("files", exist_ok=True)
os.chdir("files")
for name in os.listdir("."):
    os.unlink(name)

create = os.O_RDWR | os.O_CREAT
rotated = os.open("log", create | os.O_APPEND, 0o644)  # log rotation with links
os.write(rotated, b"begin ")
os.link("log", "log.1")
os.unlink("log")
replaced = os.open("replaced", create, 0o644)  # what editors, pip and rsync do
os.write(replaced, b"old " * 1000)
with open("replaced.new", "w") as new:
    new.write("new content")
os.rename("replaced.new", "replaced")
removed = os.open("removed", create | os.O_EXCL, 0o600)  # tmpfile(3)
os.unlink("removed")
try:
    unnamed = os.open(".", os.O_TMPFILE | os.O_EXCL | os.O_RDWR, 0o600)  # tempfile.TemporaryFile
except OSError:  # FUSE has none
    unnamed = os.open("unnamed", create | os.O_EXCL, 0o600)
    os.unlink("unnamed")
try:
    late = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)  # an atomic write
    os.write(late, b"written before ")
except OSError:
    late = None
both = os.open("both", create, 0o644), os.open("both", create, 0o644)  # the same, opened twice
os.link("both", "both.too")
os.unlink("both")

print("READY", flush=True)
step = 0
while not os.path.exists("../go"):
    os.pwrite(removed, b"%08d" % step, 8 * step)
    os.pwrite(unnamed, b"%08d" % step, 8 * step)
    step += 1
    time.sleep(0.02)


def all_of(fd):
    return os.pread(fd, 1 << 30, 0)


os.write(rotated, b"end")
os.pwrite(replaced, b"OLD ", 400)
os.write(both[0], b"one ")
os.pwrite(both[1], b"two ", 4)
steps = b"".join(b"%08d" % i for i in range(step))
print("removed", all_of(removed) == steps, "unnamed", all_of(unnamed) == steps, flush=True)
print("replaced", all_of(replaced) == b"old " * 100 + b"OLD " + b"old " * 899, open("replaced").read(), flush=True)
print("rotated", open("log.1").read(), os.path.samestat(os.fstat(rotated), os.stat("log.1")), flush=True)
if late is not None:
    os.write(late, b"and after")
    os.link("/proc/self/fd/%d" % late, "late", src_dir_fd=0)
    print("late", open("late").read(), oct(os.stat("late").st_mode), flush=True)
print("both", open("both.too").read(), flush=True)
print("names", sorted(name for name in os.listdir(".") if not name.startswith(".fuse_hidden")))
