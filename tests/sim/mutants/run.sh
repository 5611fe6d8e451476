#!/usr/bin/env bash
# tests/sim/mutants/run.sh [-n SEEDS] [-t SECONDS] [-k FILE] [NAME...]: plant each bug of list.txt in a copy of the tree, one at a time, and
# play seeds until one breaks an invariant. FILE: seeds known to break without any (else they are looked for). Prints the table: bug, seed, what broke. Exit code 1 when one survives.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
seeds=3000 seconds=60 known=
while getopts n:t:k: option; do
    case $option in
    n) seeds=$OPTARG ;;
    t) seconds=$OPTARG ;;
    k) known=$(realpath "$OPTARG") ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))

mkdir -p "${PW_BUILD_DIR:-$root/build}" && work=$(mktemp -d -p "${PW_BUILD_DIR:-$root/build}" mutants.XXXXXX) || exit 2
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
(cd "$root" && tar cf - --exclude=./build --exclude=./.git .) | tar xf - -C "$work/tree"
sed -i 's/ -Werror$//; s/ -Werror / /' "$work/tree/cmake/pw_warnings.cmake" # a planted bug may leave something unused
cmake -S "$work/tree" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$work/log" 2>&1 || { cat "$work/log"; exit 2; }
cp -r "$work/tree" "$work/clean"
build() { ninja -C "$work/build" sim_patchwave >"$work/log" 2>&1; }
sim=$work/build/tests/sim/sim_patchwave
build || { tail "$work/log"; exit 2; }

# What breaks without any planted bug proves nothing about one.
if [ -n "$known" ]; then cp "$known" "$work/known"; else timeout "$((seconds * 4))" "$sim" --seeds "1..$seeds" --keep-going --quiet 2>/dev/null | sed -n 's/^\(VIOLATION seed \)\{0,1\}\([0-9][0-9]*\)[ :].*/\2/p' | sort -n >"$work/known"; fi

printf '%-46s %-8s %s\n' bug seed broke
survived=0
planted=0
while IFS= read -r name; do
    if [ $# -gt 0 ] && ! printf '%s\n' "$@" | grep -qxF "$name"; then
        continue
    fi
    planted=$((planted + 1))
    files=$(awk -v name="= $name" '$0 == name {on = 1; next} /^= / {on = 0} on && /^@ / {print $2}' "$here/list.txt" | sort -u)
    if ! perl "$here/plant.pl" "$here/list.txt" "$name" "$work/tree" 2>"$work/log"; then
        printf '%-46s %-8s %s\n' "$name" - 'has no place in the sources any more'
        survived=$((survived + 1))
    elif ! build; then
        printf '%-46s %-8s %s\n' "$name" - 'does not build'
        grep -m1 'error:' "$work/log"
        survived=$((survived + 1))
    else
        options=$(perl "$here/plant.pl" "$here/list.txt" "$name")
        # shellcheck disable=SC2086
        found=$(timeout "$seconds" "$sim" --seeds "1..$seeds" --quiet --skip "$work/known" $options 2>/dev/null |
            sed -n 's/^VIOLATION seed //; s/^\([0-9][0-9]*\)[ :] *\(.*\)/\1 \2/p' | head -1)
        if [ -n "$found" ]; then
            printf '%-46s %-8s %.90s\n' "$name" "${found%% *}" "${found#* }"
        else
            printf '%-46s %-8s %s\n' "$name" - 'SURVIVES'
            survived=$((survived + 1))
        fi
    fi
    for f in $files; do cp "$work/clean/$f" "$work/tree/$f"; done
done < <(perl "$here/plant.pl" "$here/list.txt")
printf '%d planted, %d survive\n' "$planted" "$survived"
[ "$survived" -eq 0 ]
