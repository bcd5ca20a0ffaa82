#!/usr/bin/python3
"""soak.py [KILLS [SEED]]: jobs run, are saved and moved, and at random moments something is killed.

On the hub of a lab. Keeps a few jobs running, of programs whose result is known from a run without
Holdfast; has them saved, preempted, requeued and moved; and kills -9 a process, or a node, KILLS
times. No job may be lost, and no result may be another. A job that is held after too many failed
restores is resumed, and counted. One that had ended when Slurm still requeued it runs twice, as it
does without Holdfast, and is counted as that. Prints each kill, with the stage that the job was in, and in the end
how often each process was killed in each stage; exits with 1 if a job was lost or changed.
"""
import collections
import json
import random
import shlex
import subprocess
import sys
import time

KILLS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
JOBS = 3
LONGEST_S = 900  # no program takes a tenth of that
SLURM_KEEPS_S = 10  # SAVE_MAX_WAIT in slurmctld's state_save.c is five
EXAMPLES = "/usr/share/holdfast/examples"
WORK = "/shared/alice/soak"

# Each prints the same whenever it is run. Options of sbatch, and the script.
PROGRAMS = {
    "shell": ("", f"rm -f /tmp/squares; COUNT=80 exec bash {EXAMPLES}/bash/count.sbatch"),
    "counter": ("", "COUNT=80 MEMORY=100000000 exec /src/tests/integration/faults/counter.sbatch"),
    # Not bound: the nodes of the lab say that they have more CPUs than this machine.
    "mpirun": ("--nodes=2 --ntasks-per-node=2", f"exec mpirun --bind-to none {EXAMPLES}/bin/ring 3000 10"),
    "steps": ("--nodes=2 --ntasks-per-node=2",
              "for i in {1..15}; do srun bash -c 'echo step $0 task $SLURM_PROCID; sleep 2' $i | sort; done"),
    "pool": ("--cpus-per-task=2", "exec python3 /src/tests/soak/pool.py"),
    "files": ("", "rm -f /tmp/data; exec 3>$0.numbers; for i in {1..100}; do echo $i $RANDOM >&3;"
                  " head -c 100000 /dev/zero | tr '\\0' $((i % 10)) >>/tmp/data; sleep 0.3; done;"
                  " wc -l <$0.numbers; md5sum </tmp/data; rm $0.numbers"),
}
# What a job may be in when it is over.
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "DEADLINE"}


def on(node, *command, user="root", check=False):
    """Output of a command on a node; nothing if it failed, or took longer than a minute."""
    done = subprocess.run(["timeout", "60", "/src/lab/lib/node", node, "-u", user, *command], capture_output=True, text=True,
                          check=check, stdin=subprocess.DEVNULL)
    return done.stdout.strip() if done.returncode == 0 else ""


submitted = 0.0  # when the last job was


def alice(*command):
    output = on("ctl", "env", "-C", WORK, *command, user="alice")
    if command[0] == "sbatch":
        global submitted
        submitted = time.monotonic()
    return output


def in_background(*command):
    """As alice; nobody waits for it, nor for its outcome."""
    subprocess.Popen(["/src/lab/lib/node", "ctl", "-u", "alice", "timeout", "60", *command],
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Job:
    def __init__(self, program, checkpoint="--checkpoint=5s"):
        options, script = PROGRAMS[program]  # $0 is a path of its own
        self.program = program
        self.begin = time.monotonic()
        self.resumed = 0
        self.id = ""
        while not self.id:  # slurmctld may be away
            self.id = alice("sbatch", "--parsable", "--time=60", "--mem-per-cpu=400", "-o", "%j.out", checkpoint, *options.split(),
                            "--wrap", f"exec bash -ec {shlex.quote(script)} {WORK}/$SLURM_JOB_ID")
        self.path = f"{WORK}/{self.id}.out"

    def record(self):
        fields = on("ctl", "scontrol", "--oneliner", "show", "job", self.id).split()
        return dict(field.split("=", 1) for field in fields if "=" in field)

    def show(self):
        try:
            return json.loads(alice("timeout", "5", "holdfast", "show", self.id, "--json"))
        except ValueError:
            return {}

    def stage(self):
        return self.show().get("state", "unknown")

    def events(self):
        """Of its start, its moves and its end: (unix_ns, name, detail)."""
        return [(event["unix_ns"], event["name"], event["detail"]) for event in self.show().get("events", ())
                if event["pod"] is None]

    def ends(self):
        """How often its script has ended by itself."""
        return sum(event[1:] == ("script-ended", "exit code 0") for event in self.events())

    def nodes(self):
        return alice("scontrol", "show", "hostnames", self.record().get("NodeList", "")).split()

    def output(self):
        """Without what Slurm and Holdfast say about the job."""
        lines = on("ctl", "cat", self.path).splitlines()
        return [line for line in lines if not line.startswith(("holdfast:", "srun:", "slurmstepd-")) and "setpgid" not in line]


def restart(command, node="ctl"):
    """Kills a daemon there, and starts it again."""
    on(node, "pkill", "-KILL", "-x", command)
    time.sleep(random.uniform(0, 3))
    while on(node, "pgrep", "-x", command):
        time.sleep(0.05)
    on(node, command)


def restart_slurmctld(_):
    """Not before it has kept what it was last told: a job that it forgets is Slurm's loss, and its id goes to another."""
    time.sleep(max(0, submitted + SLURM_KEEPS_S - time.monotonic()))
    restart("slurmctld")


def kill_coordinator(_):
    on("ctl", "/src/lab/lib/coordinator", "kill")
    time.sleep(random.uniform(0, 3))
    on("ctl", "/src/lab/lib/coordinator", "start")


def kill_node(node):
    subprocess.run(["/src/lab/lib/node-stop", node], capture_output=True, check=False)
    time.sleep(random.uniform(0, 15))
    subprocess.run(["/src/lab/lib/node-start", node], capture_output=True, check=True)
    on("ctl", "scontrol", "update", f"nodename={node}", "state=resume")


VICTIMS = {
    "holdfast-coordinator": kill_coordinator,
    "holdfast-warden": lambda node: on(node, "pkill", "-KILL", "-x", "holdfast-warden"),
    "criu": lambda node: on(node, "pkill", "-KILL", "-x", "criu"),
    "holdfast-batch --task": lambda node: on(node, "pkill", "-KILL", "-f", "holdfast-batch --task"),
    "holdfast-outside": lambda node: on(node, "pkill", "-KILL", "-f", "libexec.holdfast.holdfast-outside"),
    "slurmd": lambda node: restart("slurmd", node),
    "slurmctld": restart_slurmctld,
    "node": kill_node,
}
WEIGHTS = [3, 5, 5, 2, 2, 2, 2, 1]


def preempt(job):
    nodes = job.nodes()
    if not nodes:
        return
    urgent = alice("sbatch", "--parsable", "-p", "urgent", "-w", ",".join(nodes), "--exclusive", "-o", "/dev/null", "--wrap",
                   "sleep 5")
    in_background("scontrol", "show", "job", urgent)


ACTIONS = {
    "nothing": lambda job: None,
    "save": lambda job: in_background("holdfast", "save", job.id),
    "preempt": preempt,
    "requeue": lambda job: in_background("scontrol", "requeue", job.id),
    "migrate": lambda job: in_background("holdfast", "migrate", job.id),
}


def release(job, record):
    """What a person would do with a job that is held, or waits for its time to begin."""
    if record.get("JobState") not in ("PENDING", "REQUEUE_HOLD"):
        return
    if "eld" in record.get("Reason", ""):
        job.resumed += 1
        alice("holdfast", "resume", job.id) or alice("scontrol", "release", job.id)
    elif record.get("Reason") == "BeginTime":
        on("ctl", "scontrol", "update", f"jobid={job.id}", "starttime=now")


def resume_nodes():
    """Slurm drains a node when its slurmd has been killed at a bad moment ("Duplicate jobid")."""
    for node in on("ctl", "sinfo", "-h", "-N", "-t", "drain", "-o", "%N").split():
        on("ctl", "scontrol", "update", f"nodename={node}", "state=resume")


def verdict(job, expected):
    """None while it runs, else a word."""
    record = job.record()
    state = record.get("JobState", "")
    if state in OVER:
        if state != "COMPLETED":
            # slurmctld, killed, takes a job for failed that the coordinator then brings back.
            over = job.stage() == "ended" or time.monotonic() - job.begin > LONGEST_S
            return f"lost: {state}" if over else None
        output = job.output()
        if output == expected[job.program]:
            return "whole"
        return "whole, twice" if output == 2 * expected[job.program] and job.ends() == 2 else "changed"
    release(job, record)
    if time.monotonic() - job.begin > LONGEST_S:
        return "lost: hangs"
    return None


def main():
    random.seed(SEED)
    on("ctl", "install", "-d", "-o", "alice", "-g", "alice", WORK, check=True)
    print(f"seed {SEED}; first every program without Holdfast", flush=True)
    reference = {program: Job(program, "--checkpoint=off") for program in PROGRAMS}
    while not all(job.record().get("JobState") in OVER for job in reference.values()):
        time.sleep(1)
    expected = {program: job.output() for program, job in reference.items()}
    failed = [program for program, job in reference.items() if job.record()["JobState"] != "COMPLETED"]
    if failed:
        sys.exit(f"fail without Holdfast too: {', '.join(failed)}")
    seen, kills, verdicts, resumed = collections.Counter(), 0, collections.Counter(), 0
    jobs = []
    while kills < KILLS or jobs:
        while kills < KILLS and len(jobs) < JOBS:
            jobs.append(Job(random.choice(list(PROGRAMS))))
        if kills < KILLS:
            job = random.choice(jobs)
            action = random.choice(list(ACTIONS))
            ACTIONS[action](job)
            time.sleep(random.choice([0, random.uniform(0, 1), random.uniform(0, 6)]))
            victim = random.choices(list(VICTIMS), WEIGHTS)[0]
            stage, nodes = job.stage(), job.nodes()
            if nodes:  # nothing to kill of one that waits
                VICTIMS[victim](random.choice(nodes))
                kills += 1
                seen[victim, stage] += 1
                print(f"{kills} job {job.id} ({job.program}) {stage}, {action}: {victim}", flush=True)
        time.sleep(random.uniform(0, 6))
        resume_nodes()
        for job in list(jobs):
            word = verdict(job, expected)
            if not word:
                continue
            jobs.remove(job)
            verdicts[word] += 1
            resumed += job.resumed
            print(f"job {job.id} ({job.program}): {word}", flush=True)
            if not word.startswith("whole"):
                print(alice("holdfast", "show", job.id), *job.events(), sep="\n", flush=True)
    for (victim, stage), count in sorted(seen.items()):
        print(f"{victim:24} {stage:14} {count}")
    print(f"{kills} kills, {sum(verdicts.values())} jobs: " + ", ".join(f"{n} {word}" for word, n in verdicts.items())
          + f"; {resumed} times held and resumed")
    return 0 if set(verdicts) <= {"whole", "whole, twice"} else 1


sys.exit(main())
