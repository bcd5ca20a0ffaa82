#!/usr/bin/python3
"""Holds files, directories and texts whose names are any bytes, and prints what it sees of them.

Once at the start, and again when `go` is there: both have to be the same, saved, moved or not.
"""
import mmap
import os
import sys
import time

NAMES = [b"\xff\xfe", b"a\nb", b"lit\\012eral", b"tab\there", b" blank ", b"n" * 255]
HERE = os.getcwdb()
DIRECTORIES = [b"/tmp/\xff", b"/dev/shm/\xff", HERE + b"/work"]


def write(path):
    with open(path, "wb") as file:
        file.write(b"contents of " + path)


def describe(path):
    with open(path, "rb") as file:
        return f"{path!r} {file.read()!r}"


def look(held, mapped):
    for directory in DIRECTORIES:
        for name in sorted(os.listdir(directory)):
            if os.path.isfile(directory + b"/" + name):
                print(describe(directory + b"/" + name))
    for file in held:
        print("open", os.readlink(b"/proc/self/fd/%d" % file.fileno()), file.tell())
    for mapping in mapped:
        print("mapped", mapping[:])
    print("in", os.getcwdb())
    print("environment", os.environb.get(b"BYTES"), "arguments", [os.fsencode(a) for a in sys.argv[1:]])
    print("----", flush=True)


def wait(name):
    while not os.path.exists(HERE + name):
        time.sleep(0.1)


for directory in DIRECTORIES:
    os.makedirs(directory, exist_ok=True)
held, mapped = [], []
for name in NAMES:
    for directory in DIRECTORIES:
        write(directory + b"/" + name)
    held.append(open(HERE + b"/" + name, "w+b", buffering=0))
    held[-1].write(b"held: " + name)
    held.append(open(b"/tmp/\xff/" + name, "r+b", buffering=0))
    with open(HERE + b"/work/" + name, "r+b") as file:
        mapped.append(mmap.mmap(file.fileno(), 0))
os.makedirs(HERE + b"/in-\xff\n", exist_ok=True)
os.chdir(HERE + b"/in-\xff\n")
look(held, mapped)
wait(b"/go")
look(held, mapped)
