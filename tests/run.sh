#!/usr/bin/env bash
# The test command. See --help; tests/README.md says what each suite is for and how long it takes.
set -u
cd "$(dirname "$0")/.." || exit 1

usage() {
    cat << EOF
tests/run.sh: install what is missing, build, run the suites, close with one line
\`N passed, N failed, N skipped\`. Exit code 0 only when nothing failed.

  (nothing)       all suites
  --quick         unit and scenarios only (under 2 minutes)
  --suite NAME    only this one; may be given several times
  --list          the suites' names, one per line
  --no-install    do not install packages
Each suite's output is kept in build/test-logs/.
EOF
}

# In the order they run: what fails fast comes first.
all='unit scenarios house conformance clang asan fuzz sim torture live powershell windows'
# These are one process that waits for another most of the time: when both are asked for they run side by side.
pair='powershell windows'
suites= install=yes
while [ $# -gt 0 ]; do
    case $1 in
    --quick) suites='unit scenarios' ;;
    --suite)
        shift
        case " $all " in
        *" ${1:-} "*) suites="$suites $1" ;;
        *)
            echo "run.sh: no suite \`${1:-}\`; there are: $all" >&2
            exit 2
            ;;
        esac
        ;;
    --list)
        printf '%s\n' $all
        exit 0
        ;;
    --no-install) install=no ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done
suites=${suites:-$all}

PW_JOBS=${PW_JOBS:-$(nproc 2> /dev/null || echo 2)}
export PW_JOBS
passed=0 failed=0 skipped=0 skips=
logs=build/test-logs
mkdir -p "$logs"

note() { printf '%s\n' "== $*"; }

add() { # add PASSED FAILED SKIPPED
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

skip() { # skip SUITE REASON: counted, and said again at the end
    note "$1: SKIPPED: $2"
    skips="$skips
  $1: $2"
    add 0 0 1
}

count() { # count LOG: TAP or ctest's output; result in $counted, failures on the terminal
    counted=$(awk -f tests/lib/count_tap.awk "$1")
    # shellcheck disable=SC2086
    add $counted
    if grep -qE '^([0-9]+: )?(not )?ok [0-9]+.*# *[Ss][Kk][Ii][Pp]' "$1"; then
        skips="$skips
$(grep -hE '^([0-9]+: )?(not )?ok [0-9]+.*# *[Ss][Kk][Ii][Pp]' "$1" | sed 's/^/  /')"
    fi
}

preset_build() { # preset_build PRESET: 0 when it stands; a broken build is one failure
    local launcher='' start=$SECONDS log=$logs/build-$1.log
    case " ${built:-} " in *" $1 "*) return 0 ;; esac
    command -v ccache > /dev/null && launcher=-DCMAKE_C_COMPILER_LAUNCHER=ccache
    if cmake --preset "$1" $launcher > "$log" 2>&1 && cmake --build "build/$1" -j "$PW_JOBS" >> "$log" 2>&1; then
        note "build $1: $((SECONDS - start)) s"
        built="${built:-} $1"
        return 0
    fi
    note "build $1: FAILED after $((SECONDS - start)) s"
    grep -E 'error|Error|FAILED|warning:|not pure|  sees|  .* includes <' "$log" | head -n 40
    add 0 1 0
    return 1
}

ctest_label() { # ctest_label NAME PRESET LABELS JOBS: run and count the tests that bear one of the labels
    local log=$logs/$1.log
    ctest --test-dir "build/$2" -L "^($3)\$" -V -j "$4" --no-tests=ignore > "$log" 2>&1
    count "$log"
}

# Programs with ctest's label of the suite, then the suite's own script if it has one.
plain_suite() { # plain_suite NAME JOBS
    preset_build debug || return
    ctest_label "$1" debug "$1" "$2"
    [ ! -x "tests/$1/run.sh" ] || script_suite "$1" debug
}

# A script that says nothing, or ends badly without a failed case, has failed.
script_suite() { # script_suite NAME PRESET
    local log=$logs/$1-script.log rc
    PW_BUILD_DIR=$PWD/build/$2 "tests/$1/run.sh" > "$log" 2> "$logs/$1-script.err"
    rc=$?
    count "$log"
    case "$rc/$counted" in
    */0\ 0\ 0 | [1-9]*/*\ 0\ *)
        note "tests/$1/run.sh: code $rc, counts $counted: FAILED"
        tail -n 20 "$logs/$1-script.err"
        add 0 1 0
        ;;
    esac
}

asan_suite() {
    preset_build asan && ctest_label asan asan 'unit|scenarios|asan' "$PW_JOBS"
}

clang_suite() {
    if ! command -v clang > /dev/null; then
        skip clang "clang is not installed"
    elif preset_build clang; then
        add 1 0 0
    fi
}

fuzz_suite() {
    if ! command -v clang > /dev/null; then
        skip fuzz "clang is not installed"
    elif preset_build fuzz; then
        script_suite fuzz fuzz
    fi
}

run_suite() {
    local start=$SECONDS p=$passed f=$failed s=$skipped
    case $1 in
    unit | scenarios | sim | torture | live) plain_suite "$1" "$PW_JOBS" ;;
    asan | clang | fuzz) "$1_suite" ;;
    *) plain_suite "$1" 1 ;;
    esac
    [ $((passed + failed + skipped)) != $((p + f + s)) ] || note "$1: THERE IS NOTHING IN THIS SUITE"
    note "$1: $((passed - p)) passed, $((failed - f)) failed, $((skipped - s)) skipped in $((SECONDS - start)) s"
}

# Each in a shell of its own; what it counted comes back in a file.
run_pair() {
    local s p f k more
    preset_build debug || return
    for s in $pair; do
        rm -f "$logs/$s.counts"
        (
            passed=0 failed=0 skipped=0 skips=
            run_suite "$s"
            printf '%s %s %s\n%s' "$passed" "$failed" "$skipped" "$skips" > "$logs/$s.counts"
        ) &
    done
    wait
    for s in $pair; do
        p=0 f=1 k=0 more=
        [ ! -f "$logs/$s.counts" ] || {
            read -r p f k
            more=$(cat)
        } < "$logs/$s.counts"
        add "$p" "$f" "$k"
        [ -z "$more" ] || skips="$skips
$more"
    done
}

if [ $install = yes ]; then
    groups='build tests'
    case " $suites " in *' house '* | *' clang '*) groups="$groups checks" ;; esac
    case " $suites " in *' windows '* | *' powershell '*) groups="$groups windows" ;; esac
    start=$SECONDS
    # shellcheck disable=SC2086
    bash tests/install.sh $groups > "$logs/install.log" 2>&1 ||
        note "INSTALLING FAILED (see $logs/install.log); suites that miss a tool are skipped or fail"
    note "install: $((SECONDS - start)) s"
fi

both=yes
for suite in $pair; do
    case " $suites " in
    *" $suite "*) ;;
    *) both= ;;
    esac
done
for suite in $suites; do
    case " $pair " in
    *" $suite "*) [ -n "$both" ] || run_suite "$suite" ;;
    *) run_suite "$suite" ;;
    esac
done
[ -z "$both" ] || run_pair
[ -z "$skips" ] || note "skipped:$skips"
note "all: $SECONDS s"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
