# lines.py STEPS: prints a line a step as fast as it can, with pauses until there is a file "go",
# which the last lines wait for. mpirun mixes what its ranks print; they can be told apart by the
# characters: rank 0 prints small letters and digits, rank 1 capitals.
import os, sys, time
capitals = str.maketrans("0123456789sx", "ABCDEFGHIJSX")
rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
steps = int(sys.argv[1])
for step in range(steps):
    while step % 5000 == 0 and not os.path.exists("go"):
        time.sleep(0.1)
        if step < steps - 5000:
            break
    line = f"s{step:07d}" + "x" * (step % 9)
    print(line.translate(capitals) if rank else line, flush=True)
