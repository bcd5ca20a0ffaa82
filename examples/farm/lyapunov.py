#!/usr/bin/env python3
"""lyapunov.py CASE CASES [STEPS]: one case of a sweep over the logistic map x -> r x (1 - x).

Prints r, which goes from 3.4 to 4 with the number of the case, and the map's Lyapunov exponent
there: below zero the map settles, above it is chaotic.
"""
import math
import sys

case, cases = int(sys.argv[1]), int(sys.argv[2])
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000

r = 3.4 + 0.6 * case / cases
x, total = 0.4, 0.0
for _ in range(steps):
    x = r * x * (1 - x)
    total += math.log(abs(r * (1 - 2 * x)) or sys.float_info.min)
print(f"{r:.4f} {total / steps:.15f}")
