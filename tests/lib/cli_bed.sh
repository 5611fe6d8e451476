# Sourced, from the tree's root, by bash scripts that try the command line and print TAP. `bed_open NAME` gives a folder of its own with a
# database's name, `bed_lab OPTION...` a lab in it; both end with the script. The last line is `bed_end`.
build=${PW_BUILD_DIR:-build/debug}
[[ $build = /* ]] || build=$PWD/$build
root=$PWD
patchwave=$build/orchestrator/patchwave hvlab=$build/examples/lab/hvlab
lab_pid='' n=0 bad=0
unset SUDO_USER
exec </dev/null # nobody answers questions

bed_finish() {
    local pid
    for pid in $(cat "$work"/*.pid 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
    if [[ -n $lab_pid ]]; then kill "$lab_pid" 2>/dev/null; wait "$lab_pid" 2>/dev/null; fi
    chmod -R u+w "$work"
    rm -rf "$work"
}
bed_open() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/patchwave-$1-XXXXXX")
    trap bed_finish EXIT
    cd "$work" || exit 1
    export PATCHWAVE_DB=$work/patchwave.db
}
bed_lab() { # made; `bed_lab_serve` starts it
    "$hvlab" make --dir lab --speed 240 --agent "$build/agent/patchwave-agent" "$@" >/dev/null || exit 1
}
bed_lab_serve() {
    "$hvlab" serve --dir lab --processes >lab.log 2>&1 &
    lab_pid=$!
    check 'the lab comes up' 0 '' "$hvlab" wait --dir lab
}
bed_end() { echo "1..$n"; exit $((bad > 0)); }

report() { # OK TITLE [DETAIL]
    n=$((n + 1))
    if [[ $1 == 0 ]]; then echo "ok $n - $2"; else bad=$((bad + 1)); echo "not ok $n - $2"; sed 's/^/#   /' <<<"${3:-}" | tail -40; fi
}
check() { # TITLE CODE PATTERN COMMAND...: the exit code is CODE, and what is said matches the extended regex PATTERN
    local title=$1 code=$2 pattern=$3 out got
    shift 3
    out=$("$@" 2>&1); got=$?
    [[ $got == "$code" ]] && grep -qE -- "$pattern" <<<"$out"
    report $? "$title" "exit code $got, wanted $code; wanted text: $pattern"$'\n'"$out"
}
p() { "$patchwave" "$@"; }
ask() { sqlite3 -readonly "$PATCHWAVE_DB" "$1" 2>/dev/null; }
