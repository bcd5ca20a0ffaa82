# lines.py STEPS: prints a line a step as fast as it can, with a pause now and then. mpirun mixes
# what its ranks print; they can be told apart by the characters: rank 0 prints small letters and
# digits, rank 1 capitals.
import os, sys, time
capitals = str.maketrans("0123456789sx", "ABCDEFGHIJSX")
rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
for step in range(int(sys.argv[1])):
    line = f"s{step:07d}" + "x" * (step % 9)
    if step % 5000 == 0: time.sleep(0.05)
    print(line.translate(capitals) if rank else line, flush=True)
