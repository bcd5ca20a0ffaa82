#!/usr/bin/env python3
"""Trains a small neural network on several processes that share out the data, as PyTorch's DDP does.

usage: srun python3 train.py [EPOCHS [PAUSE_MS]], with MASTER_ADDR and MASTER_PORT in the environment

The processes take their ranks from SLURM_PROCID and SLURM_NTASKS. Rank 0 listens at the master's
address; all others tell it where they listen themselves, and get everybody's addresses. From then on
each talks to its neighbours in a ring, over which gradients are summed as gloo does: every rank sends
a piece to the next one and adds what it gets, until each piece has been everywhere.

Nothing in it knows of checkpoints. The digest at the end is of all parameters, to the last bit.
"""
import hashlib
import json
import os
import socket
import sys
import time

import numpy

RANK, RANKS = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
MASTER = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])


def connect(address):
    while True:
        try:
            return socket.create_connection(address)
        except ConnectionRefusedError:  # it is not there yet
            time.sleep(0.1)


def meet(address):
    """Tells the master where this rank listens; returns where all do."""
    if RANK != 0:
        with connect(MASTER) as master, master.makefile("rw") as stream:
            stream.write(json.dumps([RANK, address]) + "\n")
            stream.flush()
            return json.loads(stream.readline())
    addresses, streams = {0: address}, []
    with socket.create_server(MASTER) as listener:
        while len(addresses) < RANKS:
            stream = listener.accept()[0].makefile("rw")
            rank, addresses_of_rank = json.loads(stream.readline())
            addresses[rank] = addresses_of_rank
            streams.append(stream)
    addresses = [addresses[rank] for rank in range(RANKS)]
    for stream in streams:
        stream.write(json.dumps(addresses) + "\n")
        stream.close()
    return addresses


class Ring:
    """Connections to the next and from the previous rank."""

    def __init__(self):
        host = socket.gethostbyname(socket.gethostname())
        with socket.create_server((host, 0)) as listener:
            addresses = meet(listener.getsockname())
            self.next = connect(tuple(addresses[(RANK + 1) % RANKS]))
            self.previous = listener.accept()[0]
        # What the next rank waits for is sent at once, however little it is.
        self.next.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, out):
        """Sends `out` on, and returns as many numbers from the previous rank."""
        data, received = out.tobytes(), bytearray()
        # Pieces that fit into the socket buffers: nobody waits for somebody who waits for him.
        for start in range(0, len(data), 16384):
            piece = data[start:start + 16384]
            self.next.sendall(piece)
            end = len(received) + len(piece)
            while len(received) < end:
                part = self.previous.recv(end - len(received))
                if not part:
                    raise ConnectionError("the previous rank is gone")
                received += part
        return numpy.frombuffer(received, out.dtype)

    def all_reduce(self, numbers):
        """The sum over all ranks, the same to the last bit on each."""
        pieces = numpy.array_split(numbers, RANKS)
        for turn in range(RANKS - 1):  # at the end rank R has the sum of piece R + 1
            sent, got = (RANK - turn) % RANKS, (RANK - turn - 1) % RANKS
            pieces[got] = pieces[got] + self.take(pieces, sent, got)
        for turn in range(RANKS - 1):
            sent, got = (RANK + 1 - turn) % RANKS, (RANK - turn) % RANKS
            pieces[got] = self.take(pieces, sent, got)
        return numpy.concatenate(pieces)

    def take(self, pieces, sent, got):
        # Pieces differ by one in length: all are sent as the longest.
        longest = max(len(piece) for piece in pieces)
        return self.exchange(numpy.resize(pieces[sent], longest))[:len(pieces[got])]


class Network:
    """Two layers; its parameters are one vector, of which the matrices are views."""

    SHAPES = ((16, 64), (64,), (64, 1), (1,))

    def __init__(self, random):
        self.parameters = numpy.concatenate([
            random.normal(size=shape).ravel() / shape[0] ** 0.5 for shape in self.SHAPES])

    def matrices(self):
        at = 0
        for shape in self.SHAPES:
            size = int(numpy.prod(shape))
            yield self.parameters[at:at + size].reshape(shape)
            at += size

    def loss_and_gradient(self, inputs, targets):
        weights, bias, out_weights, out_bias = self.matrices()
        hidden = numpy.tanh(inputs @ weights + bias)
        error = hidden @ out_weights + out_bias - targets
        back = 2 * error / len(inputs)
        hidden_back = (back @ out_weights.T) * (1 - hidden**2)
        gradient = (inputs.T @ hidden_back, hidden_back.sum(0), hidden.T @ back, back.sum(0))
        return (error**2).mean(), numpy.concatenate([part.ravel() for part in gradient])


def main():
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    pause_ms = float(sys.argv[2]) if len(sys.argv) > 2 else 0
    network = Network(numpy.random.default_rng(1))  # the same for all ranks
    random = numpy.random.default_rng(100 + RANK)  # each has data of its own
    inputs = random.normal(size=(512, 16))
    targets = numpy.sin(inputs[:, :1] * inputs[:, 1:2]) + 0.1 * inputs[:, 2:3]
    ring = Ring()
    for epoch in range(1, epochs + 1):
        loss, gradient = network.loss_and_gradient(inputs, targets)
        summed = ring.all_reduce(numpy.append(gradient, loss)) / RANKS
        network.parameters -= 0.05 * summed[:-1]
        if RANK == 0 and epoch % max(1, epochs // 20) == 0:
            print(f"epoch {epoch} of {epochs}, loss {float(summed[-1])!r}", flush=True)
        time.sleep(pause_ms / 1000)
    if RANK == 0:
        print("digest", hashlib.sha256(network.parameters.tobytes()).hexdigest())


if __name__ == "__main__":
    main()
