#!/usr/bin/env bash
# pairs.sh [-s SIM_PATCHWAVE] [-n ROLLOUTS] [-f FIRST_SEED] [-p K/N]: each pair of faults by itself, so many rollouts each (200), seeds from
# FIRST_SEED on. Rare coincidences of two faults are met ten times as often as in the campaign. -p: only the K-th of N parts. Prints
# violations with the line that plays them again, and in the end how many pairs and rollouts there were.
set -u
cd "$(dirname "$0")" || exit 1
sim=${PW_BUILD_DIR:-../../build/release}/tests/sim/sim_patchwave
rollouts=200 first=2000000 part=1 of=1
while getopts s:n:f:p: o; do
    case $o in
    s) sim=$OPTARG ;;
    n) rollouts=$OPTARG ;;
    f) first=$OPTARG ;;
    p) part=${OPTARG%/*} of=${OPTARG#*/} ;;
    *) exit 2 ;;
    esac
done
faults=({1..4} {6..11} {14..23} {25..49}) # F5, F12, F13 and F24 are played elsewhere
pair=0 played=0 failed=0
for a in "${faults[@]}"; do
    for b in "${faults[@]}"; do
        [ "$a" -lt "$b" ] || continue
        pair=$((pair + 1))
        [ $((pair % of)) -eq $((part % of)) ] || continue
        from=$((first + pair * rollouts))
        out=$("$sim" --seeds "$from..$((from + rollouts - 1))" --faults "$a,$b" --keep-going 2>&1) || failed=1
        grep -E '^(VIOLATION|again:)' <<< "$out"
        played=$((played + 1))
    done
done
echo "$played pairs, $((played * rollouts)) rollouts"
exit $failed
