#!/usr/bin/env bash
# tests/sim/mutants/run.sh [-n SEEDS] [-t SECONDS] [-w DIR] [NAME...]: plant each bug of list.txt in a copy of the tree, one at a time, and play seeds until
# one breaks an invariant that it keeps without the bug, in SECONDS of CPU. What no seed finds is asked of the unit tests and scenarios (recorded histories
# left out: they tell any difference). DIR: where the copy is, and stays. Prints the table: bug, seed or test, what broke. Exit code 1 when one survives.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
seeds=3000 seconds=60 work=''
while getopts n:t:w: option; do
    case $option in
    n) seeds=$OPTARG ;;
    t) seconds=$OPTARG ;;
    w) work=$(mkdir -p "$OPTARG" && realpath "$OPTARG") || exit 2 ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))

if [ -z "$work" ]; then
    mkdir -p "${PW_BUILD_DIR:-$root/build}" && work=$(mktemp -d -p "${PW_BUILD_DIR:-$root/build}" mutants.XXXXXX) || exit 2
    trap 'rm -rf "$work"' EXIT
fi
rm -rf "$work/tree" "$work/clean"
mkdir "$work/tree"
(cd "$root" && git ls-files -z -co --exclude-standard | tar cf - --null -T -) | tar xf - -C "$work/tree"
sed -i 's/ -Werror$//; s/ -Werror / /' "$work/tree/cmake/pw_warnings.cmake" # a planted bug may leave something unused
cmake -S "$work/tree" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release ${CMAKE_ARGS:-} >"$work/log" 2>&1 || { cat "$work/log"; exit 2; }
cp -rp "$work/tree" "$work/clean"
build() { ninja -C "$work/build" "$@" >"$work/log" 2>&1; }
sim=$work/build/tests/sim/sim_patchwave
# The tests that see the planted sources.
programs="test_agent test_agent_journal test_capacity test_claim test_driver_proto test_event test_facts test_fleet test_gate test_journal_fold
    test_methods test_plan test_plan_verify test_rollout test_failures test_unknown test_gates test_verbs test_policy test_runner test_odd test_settings
    test_verb_moments test_verb_words test_event_order test_op_answers test_given_up test_parked_in_doubt test_evidence_load test_overtaken
    test_admission test_evidence_of_effect test_spoiled_events test_too_late test_special_vms test_windows test_event_pictures test_store_log
    test_what_is_in test_downtime"
available=''
for p in $programs; do ninja -C "$work/build" -t query "$p" >/dev/null 2>&1 && available="$available $p"; done
pattern="^($(printf '%s' "${available# }" | tr ' ' '|'))\$"
run_tests() { ctest --test-dir "$work/build" -R "$pattern" --output-on-failure --no-tests=error >"$work/tests" 2>&1; }
failing() { sed -n 's/^[[:space:]]*[0-9][0-9]* - \(test_[a-z_]*\) (.*/\1/p' "$work/tests"; }
build sim_patchwave || { tail "$work/log"; exit 2; }

cp "$sim" "$work/sound"

plant() { perl "$here/plant.pl" "$here/list.txt" "$1" "$work/tree" 2>"$work/log"; }
clean() {
    local f
    for f in $(awk -v name="= $1" '$0 == name {on = 1; next} /^= / {on = 0} on && /^@ / {print $2}' "$here/list.txt" | sort -u); do
        cp "$work/clean/$f" "$work/tree/$f"
    done
}
# One CPU's seconds, not the clock's: a busy machine is no reason to survive.
play() { (ulimit -S -t "$1"; shift; exec timeout "$((seconds * 60))" "$@" 2>/dev/null); }
# The first seed that breaks with the bug and not without it, or does not end, and what broke.
search() {
    local from=1 line seed
    while [ "$from" -le "$seeds" ]; do
        line=$(play "$seconds" "$sim" --seeds "$from..$seeds" --quiet "$@" |
            sed -n 's/^VIOLATION seed //; s/^out of CPU time at seed \([0-9][0-9]*\)/\1 does not end/; s/^\([0-9][0-9]*\)[ :] *\(.*\)/\1 \2/p' | head -1)
        seed=${line%% *}
        [ -n "$line" ] || return
        if [ "${line#* }" = 'does not end' ] && play 5 "$sim" --seed "$seed" --quiet "$@" >/dev/null; then
            return # it ends: there was no time for more seeds
        fi
        if play 5 "$work/sound" --seed "$seed" --quiet "$@" >/dev/null; then
            printf '%s\n' "$line"
            return
        fi
        from=$((seed + 1))
    done
}

row() { printf '%-46s %-24s %.100s\n' "$1" "$2" "$3"; }
row bug 'seed or test' broke
planted=0
survived=0
left=()
while IFS= read -r name; do
    if [ $# -gt 0 ] && ! printf '%s\n' "$@" | grep -qxF "$name"; then
        continue
    fi
    planted=$((planted + 1))
    if ! plant "$name"; then
        row "$name" - 'has no place in the sources any more'
        survived=$((survived + 1))
    elif ! build sim_patchwave; then
        row "$name" - "does not build: $(grep -m1 'error:' "$work/log")"
        survived=$((survived + 1))
    else
        options=$(perl "$here/plant.pl" "$here/list.txt" "$name")
        # shellcheck disable=SC2086
        found=$(search $options)
        if [ -n "$found" ]; then row "$name" "${found%% *}" "${found#* }"; else left+=("$name"); fi
    fi
    clean "$name"
done < <(perl "$here/plant.pl" "$here/list.txt")

if [ "${#left[@]}" -gt 0 ]; then
    # shellcheck disable=SC2086
    build $available && run_tests
    failing >"$work/failing" # without any bug: proves nothing
    for name in "${left[@]}"; do
        plant "$name"
        # shellcheck disable=SC2086
        if build $available && ! run_tests && by=$(failing | grep -vxFf "$work/failing" | head -1) && [ -n "$by" ]; then
            row "$name" "$by" "$(grep -m1 '^not ok' "$work/tests")"
        else
            row "$name" - SURVIVES
            survived=$((survived + 1))
        fi
        clean "$name"
    done
fi
printf '%d planted, %d survive\n' "$planted" "$survived"
[ "$survived" -eq 0 ]
