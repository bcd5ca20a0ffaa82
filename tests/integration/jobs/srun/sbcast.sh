#!/bin/bash
# sbatch: -N2 --ntasks-per-node=1
# sbcast: a file in every node's /tmp. Nodes complain in any order.
own=/tmp/sbcast-test-$UID
srun bash -c "rm -f $own*"
printf 'line %s\n' {1..200000} >big
chmod 751 big
touch -d '2020-02-02 02:02:02' big
sbcast big "$own.1"; echo "plain: $?"
srun -l bash -c "md5sum <$own.1; stat -c '%a %U %s' $own.1" | sort
sbcast big "$own.1" 2>&1 | sort; echo "again: ${PIPESTATUS[0]}"
sbcast -f big "$own.1"; echo "forced: $?"
sbcast --preserve --force big "$own.1"; echo "preserved: $?"
srun -l stat -c '%y' "$own.1" | sort
SBCAST_FORCE=1 sbcast -s 64k -F 2 -t 60 big "$own.1"; echo "by variable: $?"
echo 'with spaces' >small
sbcast small "$own.2 it's"; echo "odd name: $?"
srun -l cat "$own.2 it's" | sort
sbcast missing "$own.3"; echo "missing: $?"
sbcast big /tmp/no-such-directory/x 2>&1 | sort; echo "no directory: ${PIPESTATUS[0]}"
sbcast big; echo "one name: $?"
sbcast --nosuch big "$own.4"; echo "no such option: $?"
sbcast big /tmp/; echo "a directory: $?"
sbcast -w "$(scontrol show hostnames "$SLURM_JOB_NODELIST" | tail -n 1)" big "$own.5"; echo "one node: $?"
srun -l bash -c "test -e $own.5 && echo there" | sort
: >empty
sbcast empty "$own.6"; echo "empty: $?"
sbcast --jobid="$SLURM_JOB_ID" big "$own.7"; echo "its id: $?"
srun bash -c "rm -f $own*"
rm big
