#!/usr/bin/env bash
# Every fuzz target of the build: its whole corpus, then a search to the end of PW_FUZZ_SECONDS (default 10), PW_JOBS targets side by side.
# Prints TAP. What it finds is left in build/fuzz-found/.
set -u
cd "$(dirname "$0")/../.." || exit 1
export build=${PW_BUILD_DIR:-build/fuzz} seconds=${PW_FUZZ_SECONDS:-10} found=build/fuzz-found
results=$(mktemp -d)
export results
trap 'rm -rf "$results"' EXIT
mkdir -p "$found"

search() { # search TARGET: one line of TAP without its number, and what was wrong
    local name=${1##*/} new out words=()
    local corpus=tests/fuzz/corpus/${name#fuzz_} dict=tests/fuzz/dict/${name#fuzz_}
    [ ! -f "$dict" ] || words=("-dict=$dict")
    new=$(mktemp -d)
    if [ ! -d "$corpus" ]; then
        echo "not ok - $name: no corpus in $corpus"
    elif out=$("$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$found/$name-" \
        "${words[@]}" "$new" "$corpus" 2>&1); then
        echo "ok - $name: $(grep -oE 'Done [0-9]+ runs' <<< "$out" | tail -n 1)"
    else
        echo "not ok - $name"
        tail -n 30 <<< "$out" | sed 's/^/# /'
    fi > "$results/$name"
    rm -rf "$new"
}
export -f search

for target in "$build"/tests/fuzz/fuzz_*; do
    [ -x "$target" ] && [ -f "$target" ] && printf '%s\0' "$target"
done | xargs -0 -r -P "${PW_JOBS:-2}" -I{} bash -c 'search "$1"' _ {}
cat "$results"/* 2> /dev/null | awk '/^(not )?ok - / { n++; sub(/ - /, " " n " - "); if ($1 == "not") bad = 1 } { print }
    END { print "1.." n + 0; exit bad }'
