"""Waits in many ways at once and prints how each ended: nothing here depends on how long it took.

No signal handler, so that no call may return EINTR. Asks libc by ctypes, because Python's own
functions call again when they are interrupted."""
import ctypes
import os
import select
import socket
import sys
import threading
import time

SECONDS = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def time_span():
    return ctypes.byref(Timespec(SECONDS, 0))


def futex():
    word = ctypes.c_uint32(0)
    return libc.syscall(202, ctypes.byref(word), 128, 0, time_span(), None, 0)


def sem_timedwait():
    semaphore = ctypes.create_string_buffer(32)
    libc.sem_init(semaphore, 0, 0)
    return libc.sem_timedwait(semaphore, ctypes.byref(Timespec(int(time.time()) + SECONDS + 1, 0)))


def receive():
    left, right = socket.socketpair()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bytes(Timespec(SECONDS, 0)))
    answer = libc.recv(left.fileno(), ctypes.create_string_buffer(1), 1, 0)
    right.close()
    return answer


def epoll_wait():
    event = ctypes.create_string_buffer(12)
    return libc.epoll_wait(select.epoll().fileno(), event, 1, SECONDS * 1000)


def sem_timedop():
    semaphores = libc.semget(0, 1, 0o600)
    take = (ctypes.c_short * 3)(0, -1, 0)
    answer, error = libc.semtimedop(semaphores, take, 1, time_span()), ctypes.get_errno()
    libc.semctl(semaphores, 0, 0)
    ctypes.set_errno(error)
    return answer


WAYS = {
    "sleep": lambda: libc.sleep(SECONDS),
    "usleep": lambda: libc.usleep(SECONDS * 1000000),
    "nanosleep": lambda: libc.nanosleep(time_span(), None),
    "clock_nanosleep": lambda: libc.clock_nanosleep(1, 0, time_span(), None),
    "poll": lambda: libc.poll(None, 0, SECONDS * 1000),
    "select": lambda: libc.select(0, None, None, None, time_span()),
    "futex": futex,
    "sem_timedwait": sem_timedwait,
    "epoll_wait": epoll_wait,
    "semtimedop": sem_timedop,
    "recv": receive,
}


def wait(name):
    ctypes.set_errno(0)
    begin = time.monotonic()
    answer = WAYS[name]()
    error = ctypes.get_errno() if answer == -1 else 0
    early = time.monotonic() - begin < SECONDS - 0.01 and name != "sem_timedwait"
    return f"{name}: {answer} {os.strerror(error) if error else '-'}{', too early' if early else ''}"


answers = {}
threads = []
children = []
for way in WAYS:
    if os.fork() == 0:
        with open(f"process.{way}", "w", encoding="utf-8") as file:
            print("in a process,", wait(way), file=file)
        os._exit(0)
    threads.append(threading.Thread(target=lambda name=way: answers.update({name: wait(name)})))
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for way in WAYS:
    os.wait()
for way in WAYS:
    print("in a thread,", answers[way])
    with open(f"process.{way}", encoding="utf-8") as file:
        print(file.read(), end="")
