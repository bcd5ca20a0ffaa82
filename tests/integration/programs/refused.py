"""refused.py KIND: holds something that CRIU cannot save, prints READY, ends when there is a file "go"."""
import ctypes
import os
import pty
import socket
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)


def counter():
    attributes = bytearray(112)
    attributes[0:4] = (1).to_bytes(4, "little")  # PERF_TYPE_SOFTWARE
    attributes[4:8] = (112).to_bytes(4, "little")
    attributes[40:48] = (0x61).to_bytes(8, "little")  # disabled, without the kernel
    return libc.syscall(298, (ctypes.c_char * 112).from_buffer(attributes), 0, -1, -1, 0)


def device():
    return os.open("/dev/fuse", os.O_RDWR)


def set_user_id():
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("su", ["su", "bob"])
    os.read(terminal, 1)  # it asks for the password
    return terminal


def syslog():
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    held.connect("/shared/alice/log")
    return held.detach()


def datagram():
    one, other = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
    one.bind(("::1", 7777))
    other.sendto(b"x", ("::1", 7777))
    other.close()
    return one.detach()


held = globals()[sys.argv[1]]()
assert held >= 0, os.strerror(ctypes.get_errno())
print("READY", flush=True)
while not os.path.exists("go"):
    time.sleep(0.1)
print("went well", flush=True)
