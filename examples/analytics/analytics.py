#!/usr/bin/env python3
"""Streams a file of trades that is larger than memory, and aggregates them by symbol.

usage: analytics.py make FILE MEBIBYTES      writes a file of trades, the same for the same size
       analytics.py FILE [PAUSE_MS]          reads it once and prints the table

A piece of the file is in memory at a time; PAUSE_MS stretches each piece, to watch it move. Nothing
in it knows of checkpoints. The table is the same, to the last bit, however often it was moved.
"""
import sys
import time

import numpy

TRADE = numpy.dtype([("symbol", "<u4"), ("quantity", "<u4"), ("price", "<f8"), ("time", "<u8")])
SYMBOLS = 20
PIECE = (4 << 20) // TRADE.itemsize  # trades


def make(path, mebibytes):
    random = numpy.random.default_rng(7)
    trades, clock = numpy.empty(PIECE, TRADE), 0
    with open(path, "wb") as file:
        for _ in range((mebibytes + 3) // 4):
            trades["symbol"] = random.zipf(1.4, PIECE) % SYMBOLS
            trades["quantity"] = random.integers(1, 1000, PIECE)
            trades["price"] = (10 + trades["symbol"]) * numpy.exp(0.1 * random.normal(size=PIECE))
            trades["time"] = clock + numpy.cumsum(random.integers(0, 50, PIECE))
            clock = int(trades["time"][-1])
            trades.tofile(file)


class Aggregate:
    """What is known of all symbols: nothing that grows with the number of trades."""

    def __init__(self):
        self.trades = numpy.zeros(SYMBOLS, numpy.int64)
        self.quantity = numpy.zeros(SYMBOLS)
        self.turnover = numpy.zeros(SYMBOLS)
        self.squares = numpy.zeros(SYMBOLS)
        self.last = numpy.full(SYMBOLS, numpy.nan)
        self.longest_gap = 0
        self.clock = 0

    def add(self, trades):
        symbol, price = trades["symbol"], trades["price"]
        quantity = trades["quantity"].astype(float)
        self.trades += numpy.bincount(symbol, minlength=SYMBOLS)
        self.quantity += numpy.bincount(symbol, quantity, SYMBOLS)
        self.turnover += numpy.bincount(symbol, quantity * price, SYMBOLS)
        self.squares += numpy.bincount(symbol, quantity * price * price, SYMBOLS)
        self.last[symbol] = price  # of several trades in a symbol the last stays
        gaps = numpy.diff(trades["time"], prepend=numpy.uint64(self.clock))
        self.longest_gap = max(self.longest_gap, int(gaps.max()))
        self.clock = int(trades["time"][-1])

    def print(self):
        print("symbol  trades  average price  deviation  last")
        for i in range(SYMBOLS):
            mean = self.turnover[i] / self.quantity[i]
            deviation = max(self.squares[i] / self.quantity[i] - mean * mean, 0) ** 0.5
            print(i, self.trades[i], repr(float(mean)), repr(float(deviation)), repr(float(self.last[i])))
        print("longest gap", self.longest_gap, "of", self.clock)


def analyse(path, pause_ms):
    aggregate = Aggregate()
    with open(path, "rb") as file:
        pieces = 0
        while len(trades := numpy.fromfile(file, TRADE, PIECE)):
            aggregate.add(trades)
            pieces += 1
            if pieces % 10 == 0:
                print(f"{pieces * 4} MiB", flush=True)
            time.sleep(pause_ms / 1000)
    aggregate.print()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]))
    else:
        analyse(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0)
