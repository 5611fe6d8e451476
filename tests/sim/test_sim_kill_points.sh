#!/usr/bin/env bash
# The first kill points (PW_SIM_KILL_MAX=100000: all) of fixed rollouts: the controller dies before and after an append and around a
# submit, once per run, and the run after recovery ends as a run that was not killed may end (I22).
set -u
sim=$PW_BUILD_DIR/tests/sim/sim_patchwave
n=0
failed=0
for seed in ${PW_SIM_KILL_SEEDS:-5 3}; do
    n=$((n + 1))
    out=$("$sim" --seed "$seed" --nodes 3 --vms 8 --kill-points "0..${PW_SIM_KILL_MAX:-400}" 2>&1)
    if [ $? -eq 0 ]; then
        echo "ok $n - seed $seed: $(printf '%s\n' "$out" | sed -n 's/^rollouts \([0-9]*\),.*/\1/p') kill points"
    else
        echo "not ok $n - seed $seed"
        printf '%s\n' "$out" | head -3 | cut -c1-400 | sed 's/^/# /'
        failed=1
    fi
done
echo "1..$n"
exit $failed
