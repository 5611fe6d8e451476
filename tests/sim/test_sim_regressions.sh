#!/usr/bin/env bash
# Seeds that once found something, one file each: the options, then the sentence that says what.
set -u
sim=$PW_BUILD_DIR/tests/sim/sim_patchwave
n=0
failed=0
for file in tests/sim/regressions/*.txt; do
    n=$((n + 1))
    read -r options <"$file"
    # shellcheck disable=SC2086
    if out=$("$sim" $options --replay 2>&1); then
        echo "ok $n - $(basename "$file" .txt): $(sed -n 2p "$file")"
    else
        echo "not ok $n - $(basename "$file" .txt): $(sed -n 2p "$file")"
        printf '%s\n' "$out" | head -3 | cut -c1-400 | sed 's/^/# /'
        failed=1
    fi
done
echo "1..$n"
exit $failed
