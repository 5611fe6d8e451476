#!/usr/bin/env bash
# Every fuzz target of the build: its whole corpus, then a search of PW_FUZZ_SECONDS (default 10). Prints TAP. What it
# finds is left in build/fuzz-found/.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${PW_BUILD_DIR:-build/fuzz}
seconds=${PW_FUZZ_SECONDS:-10}
found=build/fuzz-found
n=0 bad=0
mkdir -p "$found"
for target in "$build"/tests/fuzz/fuzz_*; do
    [ -x "$target" ] && [ -f "$target" ] || continue
    name=${target##*/}
    corpus=tests/fuzz/corpus/${name#fuzz_}
    new=$(mktemp -d)
    n=$((n + 1))
    if [ ! -d "$corpus" ]; then
        echo "not ok $n - $name: no corpus in $corpus"
        bad=1
    elif out=$("$target" -runs=0 "$corpus" 2>&1) &&
        out=$("$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$found/$name-" \
            "$new" "$corpus" 2>&1); then
        echo "ok $n - $name: $(grep -oE 'Done [0-9]+ runs' <<< "$out" | tail -n 1)"
    else
        echo "not ok $n - $name"
        tail -n 30 <<< "$out" | sed 's/^/# /'
        bad=1
    fi
    rm -rf "$new"
done
echo "1..$n"
exit $bad
