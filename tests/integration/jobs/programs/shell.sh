# What scripts do in parallel: make with a job server, xargs, coprocesses, process substitution, locks, timeouts, job
# control, pipes, processes left behind: in the script's session, in one whose leader has ended, with children. A line a round, until there is a file "go", or as many as ROUNDS says.
set -u
cat >Makefile <<'END'
parts = $(shell seq -f 'o%g' 1 12)
all: $(parts); @cat $(parts) | md5sum
o%: ; @$(MAKE) -s --no-print-directory n$*
n%: ; @sleep 0.1; seq 1 $*00 | awk '{ s += $$1 } END { print s }' >o$*
clean: ; @rm -f $(parts)
END
coproc answer { while read -r line; do echo "answer $line"; done; }
exec 9>lock
set -m
sleep 1000 & sleeper=$!
set +m
kill -STOP $sleeper
(sleep 1001 & echo $! >left)
(sh -c 'sleep 1002; true' 2>/dev/null & echo $! >parent)
setsid sh -c 'sleep 1003 & echo $! >daemon'
session() { ps -o sid= "$@" | sort -u | wc -l; }
n=0
while if [ -n "${ROUNDS:-}" ]; then [ "$n" -lt "$ROUNDS" ]; else [ ! -e go ]; fi; do
    echo "$n" >&"${answer[1]}"
    read -r said <&"${answer[0]}"
    flock 9
    locked=$( (flock -n lock true && echo free || echo locked) 9>&-)
    flock -u 9
    echo "round $n $(make -s clean; make -s --no-print-directory -j3 all) $(seq 6 | xargs -P 3 -I{} sh -c 'sleep 0.1; echo x{}' | sort | paste -sd,)" \
        "$said $locked $(timeout 5 sh -c 'sleep 0.1; echo in time') $(paste -d, <(seq 3) <(sleep 0.1; seq 4 6) | paste -sd+)" \
        "$(head -c 300000 /dev/zero | (sleep 0.1; gzip -c) | gzip -dc | cksum) $(ps -o stat= $sleeper | cut -c 1)" \
        "$(ps -o args= $(cat left parent daemon) | paste -sd,) $(session $$ $(cat left parent)) $(session $(cat left daemon)) $(ps -o args= --ppid "$(cat parent)")"
    sleep "$PAUSE"
    n=$((n + 1))
done
kill -CONT $sleeper
kill $sleeper $(cat left daemon) $(ps -o pid= --ppid "$(cat parent)")
wait $sleeper 2>/dev/null
echo "done $?"
