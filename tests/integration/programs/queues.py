# queues.py: terminals in many states, and all that can be seen of them afterwards.
import fcntl, os, struct, termios, time, tty

TIOCGPKT = 0x80045438  # <asm-generic/ioctls.h>
masters = {}


def pair(name, raw=False):
    master, slave = os.openpty()
    if raw:
        tty.setraw(slave)
    masters[name] = (master, slave)
    return master, slave


def settle():
    time.sleep(0.2)  # the kernel passes on what was written


def fill(fd, piece):
    os.set_blocking(fd, False)
    written, refused = b"", 0
    while refused < 20:
        try:
            written += piece[:os.write(fd, piece)]
        except BlockingIOError:
            refused += 1
            time.sleep(0.005)
    os.set_blocking(fd, True)
    assert len(written) > 8000, len(written)
    return written


def read_all(fd):
    reads = []
    os.set_blocking(fd, False)
    while True:
        try:
            reads.append(os.read(fd, 65536))
        except OSError as error:
            reads.append(error.strerror)
            return reads


master, slave = pair("cooked output")
os.write(slave, b"one\ntwo\n\tthree\n")

full = {}
for name, raw, size in (("full, cooked", False, 37), ("full, raw", True, 61), ("full, large", True, 1999)):
    master, slave = pair(name, raw)
    piece = (b"%d " % size * size)[:size - 1] + b"\n"
    full[name] = fill(slave, piece)

master, slave = pair("full input", True)
full_input = fill(master, b"0123456789abcdefg")

master, slave = pair("canonical input")
os.write(master, b"first\n\x04ended\x04second\nbegun")

master, slave = pair("packets")
fcntl.ioctl(master, termios.TIOCPKT, struct.pack("i", 1))
os.write(slave, b"in a packet\n")
os.write(master, b"input\n")

master, slave = pair("modes")
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 5, 6))
modes = termios.tcgetattr(slave)
modes[0] &= ~(termios.IXON | termios.ICRNL)
modes[3] &= ~(termios.ECHO | termios.ICANON)
modes[6][termios.VMIN], modes[6][termios.VTIME], modes[6][termios.VEOF] = 3, 1, b"\x05"
termios.tcsetattr(slave, termios.TCSANOW, modes)
os.fchmod(slave, 0o640)
os.write(master, b"typed\r")

# A child that has printed and ended.
master, slave = os.openpty()
os.write(slave, b"last words\n")
os.close(slave)
masters["hung up"] = (master, None)

# A child with a session of its own, another process of which is in the foreground.
pid, master = os.forkpty()
if pid == 0:
    os.setpgid(0, 0) if os.getpgid(0) != os.getpid() else None
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        while not os.path.exists("go"):
            time.sleep(0.05)
        time.sleep(0.5)
        os._exit(0)
    try:
        os.setpgid(job, job)
    except OSError:
        pass
    os.tcsetpgrp(0, job)
    print("asked", flush=True)
    os.waitpid(job, 0)
    here = {os.getsid(0): "leader", job: "job"}
    print(here.get(os.tcgetpgrp(0)), here.get(termios.tcgetattr(0) and os.getsid(0)), os.path.exists("/dev/tty"), flush=True)
    with open("/dev/tty", "wb") as own:
        own.write(b"through /dev/tty\n")
    os._exit(0)
masters["session"] = (master, None)

settle()
print("READY", flush=True)
while not os.path.exists("go"):
    time.sleep(0.05)
os.waitpid(pid, 0)
settle()
for name, (master, slave) in masters.items():
    if slave is not None:
        info = os.fstat(slave)
        modes = termios.tcgetattr(slave)
        size = struct.unpack("HHHH", fcntl.ioctl(slave, termios.TIOCGWINSZ, bytes(8)))
        print(name, "slave", info.st_uid == os.getuid(), oct(info.st_mode), modes, size)
        print(name, "packets", fcntl.ioctl(master, TIOCGPKT, bytes(4)))
    if name in full:
        # How much fits is the kernel's affair.
        text = b"".join(part for part in read_all(master) if isinstance(part, bytes))
        wrote = full[name].replace(b"\n", b"\r\n") if "cooked" in name else full[name]
        print(name, text == wrote)
    elif name == "full input":
        text = b"".join(part for part in read_all(slave) if isinstance(part, bytes))
        print(name, text == full_input)
    else:
        print(name, "master", read_all(master))
        if slave is not None:
            print(name, "slave", read_all(slave))
            os.write(master, b"more\n")
            settle()
            print(name, "slave", read_all(slave), "master", read_all(master))
