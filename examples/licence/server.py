#!/usr/bin/env python3
"""A small licence server, for the example: hands out SEATS seats, as long as their users keep asking.

usage: server.py PORT [SEATS]

A client says "checkout NAME", then "alive" again and again, and gets "granted" or "denied" each time.
Its seat is free again when its connection ends.
"""
import socketserver
import sys
import threading

seats = threading.BoundedSemaphore(int(sys.argv[2]) if len(sys.argv) > 2 else 1)


class Client(socketserver.StreamRequestHandler):
    def handle(self):
        name = self.rfile.readline().decode().removeprefix("checkout ").strip()
        if not seats.acquire(blocking=False):
            self.wfile.write(b"denied\n")
            return
        print(f"{name} has a seat", flush=True)
        try:
            self.wfile.write(b"granted\n")
            for _ in self.rfile:
                self.wfile.write(b"granted\n")
        except OSError:
            pass  # the connection was lost
        finally:
            seats.release()
            print(f"{name} has none any more", flush=True)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("", int(sys.argv[1])), Client) as server:
        server.serve_forever()
