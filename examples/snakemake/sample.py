"""sample.py SEED: the mean of exp(-x*x) over points drawn from 0..1; the same for the same seed."""

import math
import random
import sys

POINTS = 20_000_000

draw = random.Random(int(sys.argv[1])).random
print(f"{sum(math.exp(-draw() ** 2) for _ in range(POINTS)) / POINTS:.9f}")
