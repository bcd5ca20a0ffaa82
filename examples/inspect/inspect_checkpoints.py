#!/usr/bin/env python3
"""How a job's memory grew over its checkpoints, and how little of it had to be stored.

Reads the manifests and parts of one job, which are HDF5 files, and plots them:

    inspect_checkpoints.py DIR/CLUSTER-JOBID-TIME [PNG]

DIR is the job's --checkpoint-dir, TIME when it was submitted. Run it as the job's user, who alone may read there, while the
job runs or is held: when it has ended well, its checkpoints are gone. It is written in cells for
an editor that knows them (Jupyter, VS Code, Spyder), where DIRECTORY below is set by hand.
docs/formats has all tables and columns.
"""

# %% Which job
import sys
from pathlib import Path

import h5py
import matplotlib

matplotlib.use("Agg" if len(sys.argv) > 1 else matplotlib.get_backend())
import matplotlib.pyplot as plt
import numpy as np

DIRECTORY = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
PICTURE = Path(sys.argv[2] if len(sys.argv) > 2 else "checkpoints.png")
MIB = 1 << 20


# %% The manifests: one for each checkpoint, with a row for each pod
def manifests(directory):
    """Committed checkpoints, oldest first. An empty manifest says that one was discarded."""
    paths = [p for p in sorted(directory.glob("manifest-*.h5")) if p.stat().st_size > 0]
    if not paths:
        sys.exit(f"{directory}: no checkpoint is there")
    return paths


def part_names(manifest):
    """Names of the parts of all pods and, if there is one, of the files."""
    with h5py.File(manifest) as file:
        tables = [file[name] for name in ("pods", "files") if name in file]
        return [row["part"].decode() for table in tables for row in table[:]]


# %% The parts: which bytes are where
def sources(part, checkpoint):
    """Bytes of this part by where they are: stored now, stored before, or nowhere (zeros)."""
    packs = [row["name"].decode() for row in part["packs"][:]]
    written = np.array([int(name.split("/")[1].split("-")[0]) for name in packs], dtype=np.int64)
    extents, blobs = part["extents"][:], part["blobs"][:]
    total = int(part["streams"]["size"].sum())
    if len(extents) == 0:
        return {"new": 0, "before": 0, "zero": total, "stored": 0}
    is_new = written[blobs["pack"]] == checkpoint  # by blob
    new = int(extents["length"][is_new[extents["blob"]]].sum())
    covered = int(extents["length"].sum())
    return {
        "new": new,
        "before": covered - new,
        "zero": total - covered,
        "stored": int(blobs["stored"][is_new].sum()),
    }


def read(directory, manifest):
    """One checkpoint: its number, time, bytes by source, and bytes by process."""
    with h5py.File(manifest) as file:
        number, unix_ms = int(file.attrs["checkpoint"]), int(file.attrs["unix_ms"])
    sums = {"new": 0, "before": 0, "zero": 0, "stored": 0}
    processes = {}
    for name in part_names(manifest):
        with h5py.File(directory / name) as part:
            if "sealed" in part:
                sys.exit(f"{directory / name}: it is encrypted, and the key is root's")
            for key, size in sources(part, number).items():
                sums[key] += size
            for row in part["processes"][:]:
                processes[int(part.attrs["pod"]), int(row["pid"])] = int(row["raw"])
    return {"number": number, "unix_ms": unix_ms, "processes": processes} | sums


checkpoints = [read(DIRECTORY, manifest) for manifest in manifests(DIRECTORY)]

# %% In numbers
print(f"{'checkpoint':>10} {'data':>10} {'zeros':>10} {'as before':>10} {'new':>10} {'on disk':>10}   MiB")
for c in checkpoints:
    data = c["new"] + c["before"] + c["zero"]
    columns = (data, c["zero"], c["before"], c["new"], c["stored"])
    print(f"{c['number']:>10} " + " ".join(f"{size / MIB:>10.1f}" for size in columns))

# %% Where the bytes of each checkpoint are, and how its processes grew
numbers = [str(c["number"]) for c in checkpoints]
figure, (bars, lines) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
bottom = np.zeros(len(checkpoints))
for key, label, color in (
    ("zero", "zeros, not stored", "#d9d9d9"),
    ("before", "as in an earlier checkpoint", "#7fb3d5"),
    ("new", "stored by this one", "#c0392b"),
):
    heights = np.array([c[key] for c in checkpoints]) / MIB
    bars.bar(numbers, heights, bottom=bottom, label=label, color=color)
    bottom += heights
bars.plot(numbers, [c["stored"] / MIB for c in checkpoints], "k_", markersize=18, label="on disk, compressed")
bars.set(title="Deduplication", xlabel="checkpoint", ylabel="MiB")
bars.legend()

for pod, pid in sorted({process for c in checkpoints for process in c["processes"]}):
    sizes = [c["processes"].get((pod, pid), np.nan) / MIB for c in checkpoints]
    lines.plot(numbers, sizes, marker="o", label=f"pod {pod}, pid {pid}")
lines.set(title="Memory by process", xlabel="checkpoint", ylabel="MiB", ylim=(0, None))
if len(lines.lines) <= 12:
    lines.legend(fontsize="small")

figure.suptitle(f"job {DIRECTORY.resolve().name}")
figure.savefig(PICTURE)
print(f"plotted {len(checkpoints)} checkpoints in {PICTURE}")
