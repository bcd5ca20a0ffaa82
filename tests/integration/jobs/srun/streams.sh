#!/bin/bash
# sbatch: --nodes=2 --ntasks-per-node=2
# Input and output: files and patterns, labels, much of it, ends of pipes, several programs.
export LC_ALL=C
srun bash -c 'for ((i = 0; i < 5000; i++)); do echo "$SLURM_PROCID:$i:abcdefghijklmnopqrstuvwxyz"; done' | sort | cksum
srun -l bash -c 'for ((i = 0; i < 2000; i++)); do echo "$i"; done' | sort -s -k1,1 | cksum
srun -l bash -c 'echo out; echo err >&2; printf "no newline"' 2>&1 | sort
srun -n 1 -N 1 head -c 3000000 /dev/zero | wc -c
srun -u -n 1 -N 1 bash -c 'printf "unbuffered"'; echo '|'
seq 1 200000 | srun -n 1 -N 1 cksum
seq 1 30000 | srun -n 3 cksum | sort
seq 1 300000 | srun -n 1 -N 1 head -n 1
srun -n 1 -N 1 seq 1 300000 | head -n 1
srun -n 2 cat <<<'to all' | sort
echo 'to one' | srun -n 2 -i 1 -l cat
echo 'to none' | srun -n 2 -i none cat
seq 3 >input && srun -n 2 -i input cat | sort
srun -o all.%j bash -c 'echo "all means srun itself"' | sort
srun -o one.%j.%s bash -c 'echo "$SLURM_PROCID"; echo "e$SLURM_PROCID" >&2'
srun -n 2 -o 'task.%t' -e 'task.%t.err' bash -c 'echo out; echo err >&2'
srun -n 4 -o 'padded.%3t' bash -c 'echo "$SLURM_PROCID"'
srun -n 4 --ntasks-per-node=2 -o 'node.%n' --open-mode=append bash -c 'echo "on $SLURM_NODEID"'
srun -n 1 -N 1 -o kept -e kept2 echo once
srun -n 1 -N 1 -o kept --open-mode=append echo twice
srun -n 2 -o 1 -l bash -c 'echo "only one"'
srun -n 2 -o none bash -c 'echo nothing'
sort -o node.0 node.0; sort -o node.1 node.1
for f in one.*; do sort -o "$f" "$f"; mv "$f" one; done
printf '%s\n' '0 echo first %t' '1,3 echo odd %t %o' "* bash -c 'echo \"rest \$SLURM_PROCID\"'" >programs
srun -l --multi-prog programs | sort
while read -r line; do echo "got $line"; srun -n 1 -N 1 -i none true; done <input
while read -r line; do echo "lost the rest after $line"; srun -n 1 -N 1 true; done <input
srun -n 1 -N 1 bash -c 'echo "$0|$1|$2"' zero 'one two' 'th"ree'
srun -n 1 -N 1 printf '<%s>\n' -n 3 --label '' '*'
srun --bcast="$PWD/copied" -n 1 -N 1 /bin/echo copied && rm copied
