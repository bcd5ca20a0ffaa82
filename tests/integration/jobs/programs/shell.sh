# What scripts are made of: make and xargs with workers, coprocesses, locks, pipelines, job control.
set -m
cat >Makefile <<'M'
ROUNDS = $(shell seq -f 'made.%g' 1 30)
all: $(ROUNDS)
	@cat $(ROUNDS) | md5sum
made.%:
	@$(PAUSE); seq 1 $*00 | awk '{ sum += $$1 } END { print sum }' >$@; echo "round $*"
M
make -s -j 3 all | sort -V
seq 31 45 | xargs -P 3 -I{} sh -c '$PAUSE; echo "round {}"' | sort -V | md5sum
coproc ANSWER { while read -r line; do echo "answer $line"; done; }
(while read -r line; do echo "$line"; $PAUSE; done < <(seq 20)) | tee seen | gzip -c | gzip -dc | tail -n 1
for i in $(seq 46 60); do
    echo "$i" >&"${ANSWER[1]}"
    read -r -u "${ANSWER[0]}" answer
    (flock 9; echo "$i" >>locked) 9>lock &
    $PAUSE | cat
    wait $!
    echo "round $i $answer $(md5sum <locked)"
done
$PAUSE last
sleep 1000 &
kill -STOP $!
until jobs -l | grep -o Stopped; do sleep 0.1; done
kill -KILL $!
wait $!
echo "ended $? $(md5sum <seen)"
