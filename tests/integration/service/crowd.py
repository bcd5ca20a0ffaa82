#!/usr/bin/python3
"""Opens many connections that say nothing, and more streams of events than one user may; reads none.

  crowd.py TOKEN CA
"""
import socket
import ssl
import sys

ALLOWED = 8


def open_stream(token, context):
    stream = context.wrap_socket(socket.create_connection(("ctl", 6829)), server_hostname="ctl")
    stream.sendall(f"GET /v1/events HTTP/1.1\r\nX-SLURM-USER-TOKEN: {token}\r\n"
                   "Last-Event-ID: 0\r\n\r\n".encode())
    return stream, stream.recv(15).decode()


def silent(context):
    return context.wrap_socket(socket.create_connection(("ctl", 6829)), server_hostname="ctl")


def main():
    token, ca = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca)
    # Who has said nothing after the handshake keeps nobody waiting.
    quiet = [silent(context) for _ in range(100)]
    opened = [open_stream(token, context) for _ in range(3 * ALLOWED)]
    answers = [answer.split()[1] for _, answer in opened]
    if answers.count("200") != ALLOWED or answers.count("429") != 2 * ALLOWED:
        sys.exit(f"of {len(opened)} streams were answered {answers}")
    for connection in quiet:
        connection.close()


main()
