# Files in directories of the node, given as arguments: open, mapped, appended to, locked, worked in,
# and deleted while they are open. Says at the end what they are like, and removes them.
import fcntl
import hashlib
import mmap
import os
import random
import shutil
import socket
import stat
import tempfile
import time

go = os.path.abspath("go")
SIZE = 6 << 20


class Place:
    def __init__(self, root):
        self.home = tempfile.mkdtemp(dir=root)
        os.makedirs(self.path("work/deep"))
        self.data = bytearray(random.Random(1).randbytes(SIZE))
        self.kept = open(self.path("kept"), "wb+", buffering=0)
        self.kept.write(self.data)
        self.mapped = mmap.mmap(self.kept.fileno(), 0)
        self.appended = open(self.path("appended"), "ab", buffering=0)
        self.appended.write(b"begin ")
        self.deleted = tempfile.TemporaryFile(dir=self.home)
        self.deleted.write(self.data[: 1 << 20])
        self.deleted.flush()
        self.locked = open(self.path("locked"), "w")
        fcntl.flock(self.locked, fcntl.LOCK_EX)
        with open(self.path("sparse"), "wb") as sparse:
            sparse.truncate(1 << 30)
            sparse.seek(500 << 20)
            sparse.write(b"island")
        with open(self.path("read-only"), "w") as file:
            file.write("read only")
        os.chmod(self.path("read-only"), 0o440)
        os.utime(self.path("read-only"), (1e9, 1e9))
        os.link(self.path("kept"), self.path("work/same"))
        os.symlink("../kept", self.path("work/link"))
        os.symlink("/etc/hostname", self.path("outside"))
        os.mkfifo(self.path("pipe"), 0o620)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path("socket"))
        self.listener.listen()
        os.chdir(self.path("work/deep"))

    def path(self, name):
        return os.path.join(self.home, name)

    # Changes that do not tell how often they were made.
    def work(self):
        at = random.randrange(0, SIZE - 100)
        self.mapped[at : at + 100] = self.data[at : at + 100]
        self.kept.seek(at)
        assert self.kept.read(100) == self.data[at : at + 100]

    def finish(self):
        self.mapped[:5] = b"ended"
        self.appended.write(b"end")
        self.deleted.seek(0)
        print("deleted", hashlib.sha256(self.deleted.read()).hexdigest())
        try:
            with open(self.path("locked")) as other:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("locked by nobody")
        except BlockingIOError:
            print("locked")
        socket.socket(socket.AF_UNIX).connect(self.path("socket"))
        print("same", os.path.samefile(self.path("kept"), self.path("work/same")))
        print("blocks", os.stat(self.path("sparse")).st_blocks < 1000)
        for name in sorted(os.listdir(self.home)) + sorted(os.listdir(self.path("work"))):
            path = next(p for p in (self.path(name), self.path("work/" + name)) if os.path.lexists(p))
            info = os.lstat(path)
            print(name, stat.filemode(info.st_mode), info.st_nlink if stat.S_ISREG(info.st_mode) else "", end=" ")
            if stat.S_ISLNK(info.st_mode):
                print(os.readlink(path))
            elif stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    print(info.st_size, hashlib.sha256(file.read(64 << 20)).hexdigest())
            else:
                print()
        print("time", os.stat(self.path("read-only")).st_mtime)


def main(roots):
    places = [Place(root) for root in roots]
    print("READY", flush=True)
    while not os.path.exists(go):
        for place in places:
            place.work()
        time.sleep(0.02)
    print("works in", os.path.relpath(os.getcwd(), places[-1].home))
    os.chdir("/")
    for root, place in zip(roots, places):
        print(root)
        place.finish()
        shutil.rmtree(place.home)
    print("well done", flush=True)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
