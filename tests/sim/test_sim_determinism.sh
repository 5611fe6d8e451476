#!/usr/bin/env bash
# The same seed gives the same event log, bit for bit: twice in one build, and over gcc and clang, -O0 and -O2, with and without
# sanitizers (I23); two other builds by default; and with the JSON reader of the programs, which the simulator replaces by a
# quick one.
set -u
sim=$PW_BUILD_DIR/tests/sim/sim_patchwave
seeds=1..${PW_SIM_HASHES:-12}
work=$PW_BUILD_DIR/sim-variants
n=0
failed=0
mkdir -p "$work"
tell() { # tell RC TEXT
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
        echo "not ok $n - $2"
        failed=1
    fi
}
"$sim" --seeds "$seeds" --hash --keep-going 2>&1 | grep -E '^[0-9]+ [0-9a-f]{64}$' >"$work/here"
"$sim" --seeds "$seeds" --hash --keep-going 2>&1 | grep -E '^[0-9]+ [0-9a-f]{64}$' >"$work/again"
[ "$(wc -l <"$work/here")" -ge 10 ] && cmp -s "$work/here" "$work/again"
tell $? "$(wc -l <"$work/here") seeds, twice in this build"
"$PW_BUILD_DIR/tests/sim/sim_slowly" --seeds "$seeds" --hash --keep-going 2>&1 | grep -E '^[0-9]+ [0-9a-f]{64}$' >"$work/slowly"
cmp -s "$work/here" "$work/slowly"
tell $? "the programs' own JSON reader makes the same logs"
while read -r name cc flags sanitize; do
    case " ${PW_SIM_VARIANTS:-gcc-O0 clang-O2} " in # `PW_SIM_VARIANTS="gcc-O0 gcc-O2 clang-O0 clang-O2 gcc-asan"`: all
    *" $name "*) ;;
    *) continue ;;
    esac
    if ! command -v "$cc" >/dev/null; then
        n=$((n + 1))
        echo "ok $n - $name # SKIP $cc is missing"
        continue
    fi
    # shellcheck disable=SC2086
    cmake -S . -B "$work/$name" -G Ninja -DCMAKE_C_COMPILER="$cc" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="$flags" \
        -DPW_SANITIZE="${sanitize:-}" >"$work/$name.log" 2>&1 && ninja -C "$work/$name" sim_patchwave >>"$work/$name.log" 2>&1
    rc=$?
    [ $rc -eq 0 ] || tail -5 "$work/$name.log" | sed 's/^/# /'
    "$work/$name/tests/sim/sim_patchwave" --seeds "$seeds" --hash --keep-going 2>&1 | grep -E '^[0-9]+ [0-9a-f]{64}$' >"$work/$name.hashes"
    [ $rc -eq 0 ] && cmp -s "$work/here" "$work/$name.hashes"
    tell $? "$name"
done <<'LIST'
gcc-O0 gcc -O0
gcc-O2 gcc -O2
clang-O0 clang -O0
clang-O2 clang -O2
gcc-asan gcc -O1 address,undefined
LIST
echo "1..$n"
exit $failed
