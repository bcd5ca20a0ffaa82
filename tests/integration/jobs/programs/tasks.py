"""A workflow engine of Nextflow's shape in one job: each task has a directory, a script that notes how
it ended, and its output copied by tee from FIFOs; the engine asks whether there is a note."""
import os
import pathlib
import subprocess
import threading
import time

PAUSE = os.path.dirname(__file__) + "/pause"
WRAPPER = r"""#!/bin/bash
trap 'status=$?; rm -rf "$scratch"; printf %s $status >.exitcode; exit $status' EXIT
trap 'exit 143' TERM
scratch=$(mktemp -d /tmp/task-XXXXXX)
mkfifo "$scratch/out" "$scratch/err"
tee .command.out <"$scratch/out" & tee1=$!
tee .command.err <"$scratch/err" >&2 & tee2=$!
bash -ue .command.sh >"$scratch/out" 2>"$scratch/err" & task=$!
wait $task
status=$?
wait $tee1 $tee2
exit $status
"""


def run(number, gate):
    with gate:
        place = pathlib.Path(f"work/{number:02}")
        place.mkdir(parents=True)
        (place / ".command.run").write_text(WRAPPER, encoding="utf-8")
        (place / ".command.sh").write_text(
            f"{PAUSE} {'last' if number == 29 else ''}\nseq {number}000 | sha256sum\necho 'warning of {number}' >&2\nexit {number % 4}\n", encoding="utf-8")
        with open(place / ".command.log", "w", encoding="utf-8") as log:
            subprocess.Popen(["bash", ".command.run"], cwd=place, stdout=log, stderr=log)
        note = place / ".exitcode"
        while not note.exists() or not note.read_text(encoding="utf-8"):
            time.sleep(0.05)
        print("round", number, flush=True)


slots = threading.Semaphore(3)
tasks = [threading.Thread(target=run, args=(number, slots)) for number in range(30)]
for task in tasks:
    task.start()
for task in tasks:
    task.join()
for directory in sorted(pathlib.Path("work").iterdir()):
    print(directory.name, *((directory / name).read_text(encoding="utf-8").strip() for name in (".exitcode", ".command.out", ".command.err")))
