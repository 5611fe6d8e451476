#!/usr/bin/env bash
# A run on a small lab (real controller, sshd, agents), talked to, stopped, killed and gone on with. Prints TAP.
set -u
source tests/lib/cli_bed.sh
bed_open run
export PATCHWAVE=$patchwave
# until SECONDS CONDITION...: bounded; the condition is a command.
until_true() { local i limit=$(($1 * 10)); shift; for ((i = 0; i < limit; i++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }
some() { [[ $(ask "$1") -gt 0 ]]; }
gone() { ! kill -0 "$1" 2>/dev/null; }
writer() { p --json db path | python3 -c 'import json, sys; print(json.load(sys.stdin)["writer_pid"])'; }

bed_lab --nodes 4 --seed 3
bed_lab_serve

# first contact
p init >/dev/null
p inventory import lab/inventory.json >/dev/null
head -c 65536 /dev/zero | tr '\0' 'p' >windows11.0-kb5061977-x64.msu
p patch add windows11.0-kb5061977-x64.msu --target 26100.4066 >/dev/null
cat >rollout.json <<'T'
{"version": 1, "name": "small", "patch": "KB5061977", "waves": [2, "100%"],
 "gates": [{"type": "cluster_health", "when": "both", "soak": "1m", "samples": 2, "interval": "10s"},
           {"name": "word", "type": "manual", "when": "after"}],
 "policy": {"planner_may_approve": true, "unreachable": "60m", "fresh": "30m", "timeout_factor": 20}}
T
p plan rollout.json >/dev/null
p approve small --ticket CHG-1 >/dev/null
check 'a run needs pinned host keys' 5 'are not enrolled' p run small
check 'keys are shown, not pinned' 5 'HV01 +new +ssh-ed25519 SHA256:' p enroll --all
check 'and pinned when somebody says so' 0 'HV04 +enrolled ' p enroll --all --accept-new
check 'once' 0 'HV02 +known ' p enroll HV02
sqlite3 patchwave.db "UPDATE hostkeys SET key = 'ssh-ed25519 SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', fingerprint = 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' WHERE node = 'HV03'"
check 'a changed key is refused by both fingerprints' 5 'HV03 +CHANGED +shows SHA256:[^ ]+, pinned is SHA256:AAAA' p enroll HV03
check 'a replaced one is said' 0 'HV03 +replaced .*before SHA256:AAAA' p enroll HV03 --replace-key

# what the nodes say is what the lab's inventory says
check 'nodes are asked what is there' 0 'found 4 nodes in 1 clusters, [0-9]+ VMs' p inventory discover --out found.json
check 'VMs, homes, builds and memory agree (but for what dynamic memory has taken since)' 0 '^same$' python3 - <<'T'
import json
def of(path):
    d = json.load(open(path))
    return (sorted((v["id"], v["name"], v["node"], v["memory"]["startup_mib"]) for v in d["vms"]),
            sorted((n["id"], n["build"], n["memory_mib"], n.get("vote", 1)) for n in d["nodes"]))
a, b = of("lab/inventory.json"), of("found.json")
print("same" if a == b else f"{a}\n{b}")
T

# staging ahead; another controller's HV04 stands behind a jump host, which counts who comes
export PATCHWAVE_DB=$work/jump.db
python3 - "$work/dials" <<'T'
import json, sys
d = json.load(open("lab/inventory.json"))
way = f"echo >>{sys.argv[1]}; exec 3<>/dev/tcp/%h/%p; cat <&0 >&3 & cat <&3; kill $!"
next(n for n in d["nodes"] if n["id"] == "HV04")["ssh"]["proxy_command"] = f"bash -c '{way}'"
json.dump(d, open("jump.json", "w"))
T
dials() { wc -l <dials; }
{ p init; p inventory import jump.json; p patch add windows11.0-kb5061977-x64.msu --target 26100.4066; p enroll --all --accept-new; p plan rollout.json; } >/dev/null
before=$(dials)
check 'the package goes by way of a jump host' 0 '4 of 4 nodes have the package' p stage small
first=$(($(dials) - before))
check 'and stays' 0 '4 of 4 nodes have the package' p stage small
again=$(($(dials) - before - first))
[[ $first == 2 && $again == 1 ]]
report $? 'a session of its own carries it; where it is, none is opened' "first $first, again $again"
export PATCHWAVE_DB=$work/patchwave.db
check 'the package goes ahead of the run' 0 '4 of 4 nodes have the package' p stage small

# run in the background
check 'run --detach returns when the run has begun' 0 'run r1-[0-9a-f]{6} goes on in the background \(pid [0-9]+\)' p run small --detach
pid=$(writer); echo "$pid" >one.pid
check 'a second run finds the database in use' 4 "in use by another patchwave \(pid $pid\)" p run small
check 'status reads beside it' 0 'RUN r1-[0-9a-f]{6}  running' p status
check 'its socket is its owner'"'"'s alone' 0 '^600 socket$' stat -c '%a %F' patchwave.db.sock
check 'a verb for a node that is not there' 3 'no node "HV99" in this run' p set-aside HV99
check 'a verb for another run' 6 'the running controller is at run r1-[0-9a-f]+, not at "r7"' p pause --run r7
check 'a verb is answered with its event' 0 'pause: recorded as event [0-9]+' p pause --reason 'lunch'
check 'an impossible one with the reason' 6 'promote' p promote
check 'resume tells the running process' 0 'resume: recorded as event [0-9]+; the run is running' p resume
until_true 120 some "SELECT count(*) FROM run_nodes WHERE is_out"
report $? 'a node goes out' "$(p status)"

# stopped in order
kill -TERM "$pid"
until_true 30 gone "$pid"
report $? 'SIGTERM ends it' "$(tail -5 patchwave.db.log)"
check 'it says how to go on' 0 'go on with: patchwave .*resume' cat patchwave.db.log
check 'the record says that it left' 0 'SIGTERM' p status
check 'a verb without a process is recorded' 0 'no controller is running' p pause --reason dinner
cp patchwave.db stale.db

# on a terminal: the view is drawn over itself, Ctrl-C and a lost terminal leave a run that can be gone on with
on_terminal() { "$root/tests/lib/on_terminal.py" "$@"; }
on_terminal --until 'wave 1 +\[.*wave 1 +\[' "$patchwave" resume >seen.txt 2>&1
report $(($? == 16 ? 0 : 1)) 'Ctrl-C leaves with the code for it' "$(cat -v seen.txt)"
report $(($(grep -c $'\x1b\[[0-9]*A\x1b\[J' seen.txt) > 0 ? 0 : 1)) 'the view was drawn over itself' "$(cat -v seen.txt)"
check 'its last line says how to go on' 0 '^go on with: patchwave --db .* resume' tail -n 1 seen.txt
report $(($(tr -d '\r' <seen.txt | sed $'s/\x1b\\[[0-9]*[AJK]//g' | grep -vE '^(go on with|stopped;|[0-9]{2}:[0-9]{2}:)' | awk 'length > 100' | wc -l) == 0 ? 0 : 1)) 'no line of the view is wider than the terminal' "$(cat -v seen.txt)"
on_terminal --until 'wave 1 +\[' --then hangup "$patchwave" resume >/dev/null 2>&1
check 'a lost terminal is a stop, too' 0 'it left: SIGHUP' p status
check 'the view from another terminal' 0 'wave 1 +\[' on_terminal --until 'wave 1 +\[.*wave 1 +\[' "$patchwave" status --watch

# going on, killed, going on
p resume --detach >/dev/null 2>&1
pid=$(writer); echo "$pid" >two.pid
until_true 120 some "SELECT count(*) FROM run_nodes WHERE phase IN ('installing', 'rebooting') OR ending <> ''"
report $? 'resume goes on' "$(p status)"
kill -9 "$pid"
until_true 10 gone "$pid"
check 'a dead one leaves the lock free and the file whole' 0 'file and chain are whole' p db check
mkdir mirror
p resume --on-hold exit --mirror mirror >resume.log 2>&1
report $(($? == 11 ? 0 : 1)) 'it goes on to the manual gate, and holds' "$(tail -20 resume.log)"
check 'with a whole copy of the record beside it' 0 'file and chain are whole' p --db mirror/patchwave.db db check
check 'which the report tells' 0 'leads on' p report
check 'a stale copy of the database is fenced off by the nodes' 15 'stale copy.*cut short: `patchwave takeover`' p --db stale.db resume
check 'promote without a process is recorded' 0 'promote: recorded as event' p promote --ticket CHG-1
# this controller's clock is an hour behind, that of the nodes is not: no timer waits for it to catch up
LD_PRELOAD=$PW_BUILD_DIR/tests/live/libclock_shift.so PW_CLOCK_SHIFT_S=-3600 "$patchwave" resume --on-hold exit >resume2.log 2>&1
report $(($? == 11 ? 0 : 1)) 'the second wave runs to its gate, under a clock that is an hour behind' "$(tail -20 resume2.log)"
check 'and it says so' 0 "^this machine's clock is .* behind the run's last entry: time goes on from that entry" head -n 1 resume2.log
report $(($(ask 'SELECT count(*) FROM (SELECT at, lag(at) OVER (ORDER BY seq) AS before FROM log) WHERE at < before') == 0 ? 0 : 1)) 'no entry is older than the one before it' "$(ask 'SELECT seq, at FROM log' | tail -5)"
check 'promote again' 0 'promote: recorded as event [0-9]+' p promote
# The cluster's settings are looked at once more before the end (O18): that needs the nodes.
check 'and it ends well' 0 'finished: every wave has passed its gates' p resume --on-hold exit
check 'status has the exit code' 0 'finished' p status --exit-code
check 'an ended run is not resumed' 6 'has ended: finished' p resume

# what is left
check 'no verb of it was lost' 0 'verb +- +pause +lunch .*' p log --kind verb
report $(($(ask "SELECT count(*) FROM run_nodes WHERE ending = 'done'") == 4 ? 0 : 1)) 'all four nodes are done' "$(p status)"
report $(($(ask "SELECT count(*) FROM steps WHERE action = 'install' AND outcome = 'ok'") == 4 ? 0 : 1)) 'each was installed once' "$(ask 'SELECT op, outcome FROM steps WHERE action = "install"')"
check 'replay decides the same' 0 'every command is the same again' p replay
check 'rebuild gives the same tables' 0 'equal to what was there' p db rebuild
check 'what a step said is fetched from its node' 0 '.' p log --node HV01 --op "$(ask "SELECT op FROM steps WHERE action = 'install' AND node = 'HV01'")"
check 'the sums stand side by side' 0 'VM-down +predicted +node-out +vmms-down' p downtime

cp patchwave.db none.db && sqlite3 none.db 'DELETE FROM downtime'
check 'a run in which nothing was lost yet has sums, too' 0 '^all +0 ms +0 ms +0 ms +0 ms +0$' p --db none.db downtime
check 'so has its report' 0 'VM-down 0 ms' p --db none.db report
check 'a wave is told as it was predicted: its nodes, and its gates apart' 0 '^2 waves$' python3 - <<'T'
import json, os, sqlite3, subprocess
waves = json.loads(subprocess.run([os.environ["PATCHWAVE"], "--json", "report"], capture_output=True, check=True).stdout)["waves"]
rows = sqlite3.connect("file:patchwave.db?mode=ro", uri=True).execute(
    "SELECT n.wave, d.end_at - d.start_at FROM downtime d JOIN run_nodes n ON n.node = d.node WHERE d.subject = 'node' AND d.cause = 'node_out'").fetchall()
for w in waves:
    longest = max(took for wave, took in rows if wave == w["wave"])
    assert longest <= w["took_ms"] < w["with_gates_ms"], (longest, w)
print(len(waves), "waves")
T

# the database is lost; the copy made while nodes were out goes on
servicings() { "$hvlab" truth --dir lab --json | python3 -c 'import json, sys; print([n["servicings"] for n in json.load(sys.stdin)["nodes"]])'; }
before=$(servicings)
cp stale.db overtaken.db; cp stale.db told.db
check 'a takeover names who answers for it' 3 'ticket' p --db stale.db takeover
p --db stale.db takeover --ticket CHG-2 --on-hold exit >takeover.log 2>&1
report $(($? == 11 ? 0 : 1)) 'a takeover goes on from the copy to the first gate' "$(tail -20 takeover.log)"
check 'first it says what was in flight in that copy' 0 '^was in flight: HV0[1-4] is ' head -n 1 takeover.log
report $([[ $(servicings) == "$before" ]]; echo $?) 'what was done since is found, and not done again' "before $before, now $(servicings)"
check 'the log says who took over, and by which ticket' 0 'controller_start +- +takeover .* CHG-2 ' p --db stale.db log --kind controller_start
check 'what it overtook is fenced off' 15 'stale copy|fenced' p --db overtaken.db resume --on-hold exit

p --json --db told.db takeover --ticket CHG-3 --on-hold exit >told.json 2>told.err
report $(($? == 11 ? 0 : 1)) 'whoever takes over next goes on as well' "$(tail -5 told.json told.err)"
check 'and a program is told what people were told of that copy' 0 '^as people were told$' python3 - <<'T'
import json, re
told = json.loads(open("told.json").readline())["in_flight"]
lines = open("takeover.log").read()
nodes = re.findall(r"^was in flight: (\S+) is (\w+)", lines, re.M)
ops = re.findall(r"^no end is known of (\S+) \((\w+)\)$", lines, re.M)
assert [(n["node"], n["end"] or n["phase"]) for n in told["nodes"]] == nodes != [], (told, nodes)
assert [(o["op"], o["state"]) for o in told["ops"]] == ops, (told, ops)
assert told["decided_by_revision"] == told["revision"], told
print("as people were told")
T

# the same when those who know better answer only after the start
mapfile -t sshds < <(pgrep -f "$work/lab/nodes/HV[0-9]+/sshd_config")
kill -STOP "${sshds[@]}"
begun=$(p --db overtaken.db log --kind controller_start | wc -l)
p --db overtaken.db resume >late.log 2>&1 &
late=$!; echo "$late" >late.pid
has_begun() { [[ $(p --db overtaken.db log --kind controller_start | wc -l) -gt $begun ]]; }
until_true 60 has_begun
report $? 'with no node in reach a copy begins' "$(tail -5 late.log)"
kill -CONT "${sshds[@]}"
wait "$late"
code=$?
report $((code == 15 ? 0 : 1)) 'and stops as soon as a node answers' "exit code $code: $(tail -5 late.log)"
check 'because it is a stale copy' 0 'stale copy' cat late.log

# a copy in which the run had ended: another log may have gone on with it, so each node's journal is read
cp patchwave.db ended.db
check 'a copy of a run that ended is taken over' 0 'finished: every wave has passed its gates' p --db ended.db takeover --ticket CHG-4 --on-hold exit
report $([[ $(sqlite3 -readonly ended.db "SELECT count(DISTINCT event ->> '$.node') FROM log WHERE kind = 'node_claimed' AND seq > (SELECT max(seq) FROM log WHERE kind = 'controller_start')") == 4 ]]; echo $?) 'and hears each of them' "$(p --db ended.db log | tail -8)"

bed_end
