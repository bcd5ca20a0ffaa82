# docs/operations/ways.md says what the tests before have seen.

load ../lib
load ways

setup_file() { :; }

@test "the documentation's table is what was seen" {
    ways=$(cat /src/tests/integration/ways/*.bats | grep -c '^ *way_ends ')
    [ "$(wc -l </tmp/ways.tsv)" = "$ways" ] || skip "not all ways have been tried in this run"
    diff <(sed '1,/<!-- ways -->/d; /<!-- ways end -->/,$d' /src/docs/operations/ways.md) <(way_table)
}
