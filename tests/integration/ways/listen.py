#!/usr/bin/python3
"""listen.py NAME [script|child|step]: notes in NAME.heard each signal that it gets, as `ROLE SIGNAL`.

The script starts a child of its own and a step; all go on until end-NAME exists. With UNSAVEABLE in
its environment the job cannot be saved: a connection waits that nobody accepts.
"""
import os
import signal
import socket
import subprocess
import sys
import time

NAME, ROLE = sys.argv[1], (sys.argv[2:] or ["script"])[0]
SIGNALS = ("HUP", "INT", "QUIT", "TERM", "CONT", "TSTP", "USR1", "USR2")


def note(what):
    with open(f"{NAME}.heard", "a") as heard:
        heard.write(f"{ROLE} {what}\n")


for name in SIGNALS:
    signal.signal(getattr(signal, f"SIG{name}"), lambda number, _: note(signal.Signals(number).name[3:]))
if ROLE == "script":
    subprocess.Popen([sys.executable, "listen.py", NAME, "child"])
    subprocess.Popen(["srun", "--quiet", sys.executable, "listen.py", NAME, "step"])
    if "UNSAVEABLE" in os.environ:
        listener = socket.create_server(("", 0))
        connection = socket.create_connection(listener.getsockname())
note("ready")
while not os.path.exists(f"end-{NAME}"):
    time.sleep(0.05)
