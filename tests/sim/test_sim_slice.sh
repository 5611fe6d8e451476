#!/usr/bin/env bash
# test_sim_slice.sh [K N]: the K-th of N parts of a slice of the campaign, which is a fixed range of seeds (PW_SIM_SEEDS=A..B for another).
# None may break an invariant, and each part must have judged every invariant that random rollouts judge. The program itself fails a part
# that met a fault or a named situation too seldom.
set -u
sim=$PW_BUILD_DIR/tests/sim/sim_patchwave
slice=${PW_SIM_SEEDS:-1..20000}
from=${slice%%..*}
size=$((${slice##*..} - from + 1))
seeds=$((from + size * (${1:-1} - 1) / ${2:-1}))..$((from + size * ${1:-1} / ${2:-1} - 1))
out=$(mktemp)
trap 'rm -f "$out"' EXIT

nice "$sim" --seeds "$seeds" >"$out" 2>&1
rc=$?
n=0
failed=0
check() { # check TEXT COMMAND...
    local text=$1
    shift
    n=$((n + 1))
    if "$@"; then
        echo "ok $n - $text"
    else
        echo "not ok $n - $text"
        sed 's/^/# /' "$out" | cut -c1-300 | head -20
        failed=1
    fi
}
# The number behind NAME: in the campaign's own words.
count() { sed -n "s/.*[ (]$1:\([0-9]*\).*/\1/p" "$out" | head -1; }
at_least() { [ "$(count "$1")" -ge "$2" ] 2>/dev/null; }

rollouts=$(sed -n 's/^rollouts \([0-9]*\), .*/\1/p' "$out")
check "no invariant is broken by seeds $seeds (${rollouts:-0} rollouts)" [ "$rc" -eq 0 ]
counted=$(sed -n 's/.* counted \([0-9]*\),.*/\1/p' "$out")
check "most rollouts had faults (${counted:-0} of ${rollouts:-0})" [ "$((${counted:-0} * 2))" -gt "${rollouts:-0}" ]
for i in 1 2 3 4 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 24 25 27 28 29 30; do
    check "I$i was judged ($(count "I$i") times)" at_least "I$i" 1
done
check "every fault and every named situation came to pass often enough" [ -z "$(grep '^TOO' "$out")" ]
echo "1..$n"
exit $failed
