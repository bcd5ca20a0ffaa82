# docs/operations/ways.md says what the tests before have seen.

load ../lib
load ways

setup_file() { :; }

@test "the documentation's table is what was seen" {
    ways=$(cat /src/tests/integration/ways/*.bats | grep -c '^ *way_ends ')
    [ "$(wc -l </tmp/ways.tsv)" = "$ways" ] || skip "not all ways have been tried in this run"
    diff <(sed '1,/<!-- ways -->/d; /<!-- ways end -->/,$d' /src/docs/operations/ways.md) <(way_table)
}

@test "and so is that of signals" {
    rows=$(grep -c '^ *row "' /src/tests/integration/ways/30-signals.bats)
    [ "$(wc -l </tmp/signals.tsv)" = "$rows" ] || skip "not all signals have been tried in this run"
    diff <(sed '1,/<!-- signals -->/d; /<!-- signals end -->/,$d' /src/docs/operations/ways.md) <(signal_table)
}
