#!/usr/bin/env bash
# What only disturbs the controller, its store, the way to the nodes or an agent costs time and changes no outcome: each rollout comes to
# what it comes to undisturbed (I22; not asked where minutes decide: windows, freezes, approvals that end).
set -u
sim=$PW_BUILD_DIR/tests/sim/sim_patchwave
seeds=${PW_SIM_OUTCOME_SEEDS:-101..300}
n=0
failed=0
for faults in 1,2 3 9,10,11 15,16 18 22 1,3,11,15,16,18,22; do
    n=$((n + 1))
    out=$(nice "$sim" --seeds "$seeds" --mild --no-verbs --faults "$faults" --same-outcome 2>&1)
    rc=$?
    compared=$(sed -n 's/^outcomes compared: //p' <<< "$out")
    if [ "$rc" -eq 0 ] && [ "${compared:-0}" -gt 0 ]; then
        echo "ok $n - faults $faults: $compared compared, of $(sed -n 's/^rollouts [0-9]*, counted \([0-9]*\),.*faults \([0-9]*\) .*/\1 rollouts (undisturbed ones too), \2 faults/p' <<< "$out")"
    else
        echo "not ok $n - faults $faults: ${compared:-none} compared"
        head -3 <<< "$out" | cut -c1-900 | sed 's/^/# /'
        failed=1
    fi
done
echo "1..$n"
exit $failed
