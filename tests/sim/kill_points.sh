#!/usr/bin/env bash
# kill_points.sh [-s SIM_PATCHWAVE] [-e EVERY]: in each scenario of kill_points.txt the controller dies at each place (or each EVERY-th),
# and then again at each of the first places of its recovery. Prints TAP, and in the end where it died how often, by event.
set -u
cd "$(dirname "$0")" || exit 1
sim=${PW_BUILD_DIR:-../../build/release}/tests/sim/sim_patchwave
every=1
while getopts s:e: o; do
    case $o in
    s) sim=$OPTARG ;;
    e) every=$OPTARG ;;
    *) exit 2 ;;
    esac
done
n=0 failed=0 all=
while IFS='|' read -r options probes story; do
    n=$((n + 1))
    # shellcheck disable=SC2086
    out=$("$sim" $options --kill-points 0..1000000 --every "$every" --twice 2>&1)
    code=$?
    missing=
    for probe in $probes; do
        grep -q "^probes:.* $probe:[1-9]" <<< "$out" || missing="$missing $probe"
    done
    runs=$(sed -n 's/^rollouts \([0-9]*\),.*/\1/p' <<< "$out")
    if [ $code -eq 0 ] && [ -z "$missing" ] && [ "${runs:-0}" -ge 8 ]; then
        echo "ok $n -${story}: $runs rollouts"
    else
        echo "not ok $n -${story}: $options"
        printf '%s\n' "$out" | head -3 | cut -c1-400 | sed 's/^/# /'
        [ -z "$missing" ] || echo "# it is not that story: never$missing"
        failed=1
    fi
    all="$all$(grep '^died ' <<< "$out")"$'\n'
done < kill_points.txt
echo "1..$n"
awk '/^died/ { place = $2 " " $3; sub(/:$/, "", place); total[place] += $4
       for (i = 5; i <= NF; i++) { split($i, p, ":"); by[place, p[1]] += p[2]; name[p[1]] } }
     END { for (t in total) { printf "# died %s: %d", t, total[t]
             for (e in name) if (by[t, e] > 0) printf " %s:%d", e, by[t, e]; printf "\n" } }' <<< "$all" | sort
exit $failed
