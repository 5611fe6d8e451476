#!/usr/bin/env bash
# The program is upgraded in mid-run: a controller of another engine revision takes a dead run over (real controllers, sshd, agents), sees what
# was in flight before anything moves, and leads it to its end (F8). Prints TAP.
set -u
build=${PW_BUILD_DIR:-build/debug}
[[ $build = /* ]] || build=$PWD/$build
patchwave=$build/orchestrator/patchwave next=$build/tests/live/patchwave_next hvlab=$build/examples/lab/hvlab
revision=$(sed -n 's/^#define ENGINE_REVISION \([0-9]*\)$/\1/p' orchestrator/core/engine.h)
work=$(mktemp -d "${TMPDIR:-/tmp}/patchwave-upgrade-XXXXXX")
lab_pid=
finish() {
    local pid
    for pid in $(cat "$work"/*.pid 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
    if [[ -n $lab_pid ]]; then kill "$lab_pid" 2>/dev/null; wait "$lab_pid" 2>/dev/null; fi
    rm -rf "$work"
}
trap finish EXIT
cd "$work" || exit 1
export PATCHWAVE_DB=$work/patchwave.db
unset SUDO_USER
n=0 bad=0

report() { # OK TITLE [DETAIL]
    n=$((n + 1))
    if [[ $1 == 0 ]]; then echo "ok $n - $2"; else bad=$((bad + 1)); echo "not ok $n - $2"; sed 's/^/#   /' <<<"${3:-}" | tail -30; fi
}
check() { # TITLE CODE PATTERN COMMAND...
    local title=$1 code=$2 pattern=$3 out got
    shift 3
    out=$("$@" 2>&1); got=$?
    [[ $got == "$code" ]] && grep -qE -- "$pattern" <<<"$out"
    report $? "$title" "exit code $got, wanted $code; wanted text: $pattern"$'\n'"$out"
}
p() { "$patchwave" "$@" </dev/null; }
q() { "$next" "$@" </dev/null; }
ask() { sqlite3 -readonly "$PATCHWAVE_DB" "$1" 2>/dev/null; }
until_true() { local i limit=$(($1 * 10)); shift; for ((i = 0; i < limit; i++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }
some() { [[ $(ask "$1") -gt 0 ]]; }
gone() { ! kill -0 "$1" 2>/dev/null; }

"$hvlab" make --dir lab --nodes 4 --seed 3 --speed 240 --agent "$build/agent/patchwave-agent" >/dev/null || exit 1
"$hvlab" serve --dir lab --processes >lab.log 2>&1 &
lab_pid=$!
check 'the lab comes up' 0 '' "$hvlab" wait --dir lab
p init >/dev/null
p inventory import lab/inventory.json >/dev/null
head -c 65536 /dev/zero | tr '\0' 'p' >windows11.0-kb5061977-x64.msu
p patch add windows11.0-kb5061977-x64.msu --target 26100.4066 >/dev/null
cat >rollout.json <<'T'
{"version": 1, "name": "small", "patch": "KB5061977", "waves": [1, "100%"],
 "gates": [{"type": "cluster_health", "when": "both", "soak": "1m", "samples": 2, "interval": "10s"}],
 "policy": {"planner_may_approve": true, "unreachable": "60m", "fresh": "30m", "timeout_factor": 20}}
T
p plan rollout.json >/dev/null
p approve small --ticket CHG-1 >/dev/null
p enroll --all --accept-new >/dev/null
check "revision $revision begins" 0 'goes on in the background' p run small --detach
pid=$(p --json db path | python3 -c 'import json, sys; print(json.load(sys.stdin)["writer_pid"])'); echo "$pid" >one.pid
until_true 240 some "SELECT count(*) FROM run_nodes WHERE wave = 2 AND phase IN ('draining', 'installing', 'rebooting')"
report $? 'one node is done, the next is out' "$(p status)"
kill -9 "$pid"
until_true 10 gone "$pid"
old=$(ask "SELECT max(seq) FROM log")
p backup before.db >/dev/null

# only a takeover
both="decided by engine revision $revision, this program is revision $((revision + 1)): only .patchwave takeover. goes on"
check 'resume is refused by both revisions and the verb' 6 "$both" q resume
check 'so is a verb' 6 "$both" q pause
check 'so is replay' 6 "$both" q replay
check 'status and report read it' 0 'running' q status
check 'a takeover names who answers for it' 3 'ticket' q takeover
shown="SELECT node, phase, ending, reason, out_since FROM run_nodes ORDER BY node"
rows=$(ask "$shown")
check 'a rebuild leaves what the old revision showed' 0 'equal to what was there' q db rebuild
report $([[ $(ask "$shown") == "$rows" ]]; echo $?) 'and no row of it is gone' "$(ask 'SELECT * FROM run_nodes')"

q takeover --ticket CHG-8 --on-hold exit >takeover.log 2>&1
report $? 'the takeover leads it to its end' "$(tail -30 takeover.log)"
check 'first it says whose it was' 0 "was decided by engine revision $revision; from here on revision $((revision + 1)) decides" head -n 1 takeover.log
check 'and what was in flight' 0 '^was in flight: HV0[1-4] is ' head -n 3 takeover.log
report $(($(ask "SELECT count(*) FROM run_nodes WHERE ending = 'done'") == 4 ? 0 : 1)) 'all four nodes are done' "$(q status)"
check 'each was serviced as often as the one that was done before, says the lab' 0 '^1$' bash -c "'$hvlab' truth --dir lab --json | python3 -c 'import json, sys; print(len({n[\"servicings\"] for n in json.load(sys.stdin)[\"nodes\"]}))'"
report $(($(ask "SELECT count(*) FROM steps WHERE action = 'install' AND outcome = 'ok'") == 4 ? 0 : 1)) 'and installed once' "$(ask 'SELECT op, outcome FROM steps WHERE action = "install"')"
check 'the log says who took over, and by which ticket' 0 'CHG-8' q --json log --kind handover

# one chain, two parts
check 'the chain is whole' 0 'file and chain are whole' q db check
check 'replay decides the new part again, and says that it skips the old' 0 "entries before entry $((old + 1)) were decided by another engine revision" q replay
check 'an entry of the old part is refused' 6 "was decided by another engine revision" q replay --to "$old"
check 'rebuild gives the same tables' 0 'equal to what was there' q db rebuild
check 'the report tells the whole run' 0 'every wave has passed its gates' q report
check 'the old program is refused now' 6 "decided by engine revision $((revision + 1)), this program is revision $revision" p resume
check 'what was overtaken is fenced off' 15 'stale copy|fenced' p --db before.db resume --on-hold exit

echo "1..$n"
exit $((bad > 0))
