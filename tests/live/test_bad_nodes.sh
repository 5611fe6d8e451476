#!/usr/bin/env bash
# Nodes that cannot be talked to, as the command line tells of them: an agent that is too old, a node that cannot be reached, a host key that
# has changed since it was pinned; and a package carried under caps. Prints TAP.
set -u
source tests/lib/cli_bed.sh
bed_open bad

bed_lab --nodes 6 --seed 3
# What the controller offers HV03 arrives as a later protocol than its agent knows: the refusal is the real agent's own.
cat >old-agent <<T
#!/bin/sh
[ "\$SSH_ORIGINAL_COMMAND" = relay ] || exec "$build/agent/patchwave-agent" "\$@"
sed -u 's/"protocol":{"min":1,"max":1}/"protocol":{"min":8,"max":9}/' | "$build/agent/patchwave-agent" "\$@"
T
chmod +x old-agent
sed -i "s|command=\"[^ ]*|command=\"$work/old-agent|" lab/nodes/HV03/authorized_keys
bed_lab_serve
p init >/dev/null
p inventory import lab/inventory.json >/dev/null
p enroll --all --accept-new >/dev/null
head -c 1048576 /dev/urandom >windows11.0-kb5061977-x64.msu
p patch add windows11.0-kb5061977-x64.msu --target 26100.4066 >/dev/null
plan() { # plan NAME: planned and approved
    cat >"$1.json" <<T
{"version": 1, "name": "$1", "patch": "KB5061977", "waves": ["100%"], "gates": [],
 "policy": {"planner_may_approve": true, "unreachable": "60m", "failures_per_run": ${2:-0}, "failures_per_wave": ${2:-0}}}
T
    p plan "$1.json" >/dev/null
    p approve "$1" --ticket CHG-1 >/dev/null
}

# the package, under caps: 1 MiB to 6 nodes, 2 MiB/s in all and half of that to each; a second time there is nothing to carry
plan old
staged() { find lab/nodes -path "*packages/$(sha256sum windows11.0-kb5061977-x64.msu | cut -d' ' -f1)/*.msu" | wc -l; }
begin=$(date +%s%3N)
check 'stage under caps of fleet and link' 0 '6 of 6 nodes have the package' p stage old --mib-per-second 2 --link-mib-per-second 1
took=$(($(date +%s%3N) - begin))
report $((took >= 2500 ? 0 : 1)) 'six MiB at two a second cannot take less than 2.5 s' "took $took ms"
report $(($(staged) == 6 ? 0 : 1)) 'the package is at every node under its digest' "$(find lab/nodes -name '*.msu')"

# pulled by the nodes themselves, from a folder that they reach; what lies there is believed by its digest only (O32)
forget() { rm -rf lab/nodes/*/state/packages/* lab/nodes/*/state/fetched/*; }
mkdir share
forget
cp windows11.0-kb5061977-x64.msu share/
check 'stage --from has each node pull; it takes an agent of this version to ask' 10 '^5 of 6 nodes have the package' p stage old --from "$work/share"
check 'which is said of the one that is not' 10 'HV03 +FAILED: .*bring the older of the two up to date' p stage old --from "$work/share"
report $(($(staged) == 5 ? 0 : 1)) 'the package is at every other node under its digest' "$(find lab/nodes -name '*.msu')"
head -c 1048576 /dev/urandom >share/windows11.0-kb5061977-x64.msu
check 'what a node holds is not put at stake by what lies there now' 10 '^5 of 6 nodes have the package' p stage old --from "$work/share"
forget
check 'another file of that name is not taken' 10 'HV01 +FAILED: fetch on HV01: .*digest' p stage old --from "$work/share/"
check 'nor is none' 10 '^0 of 6 nodes have the package' p stage old --from "$work/nowhere"

# pulled under caps: 2 MiB/s in all, shared out among the four at once; what is seen of it, and what a controller that goes away leaves going on
cp windows11.0-kb5061977-x64.msu share/
forget
begin=$(date +%s%3N)
check 'stage --from under a cap of the fleet' 10 '^5 of 6 nodes have the package' p stage old --from "$work/share" --mib-per-second 2 --parallel 4
took=$(($(date +%s%3N) - begin))
report $((took >= 2500 ? 0 : 1)) 'five MiB at two a second cannot take less than 2.5 s' "took $took ms"
report $(($(staged) == 5 ? 0 : 1)) 'and all of them have it' "$(find lab/nodes -name '*.msu')"
forget
check 'how far each has come is drawn on a terminal; Ctrl-C ends the watching' 16 'HV0[1-6] [0-9]+ %.*interrupted: `patchwave stage` goes on' \
    bash -c '"$0" --until "[1-9][0-9]? %" "$@" | tr "\r\n" "  "; exit "${PIPESTATUS[0]}"' \
    "$root/tests/lib/on_terminal.py" "$patchwave" stage old --from "$work/share" --mib-per-second 2
check 'stage again joins what the nodes went on with' 10 '^5 of 6 nodes have the package' p stage old --from "$work/share"

# the connection is cut in the middle of a pull, and for good at a node that is then asked no more
at() { python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(next(n for n in d["nodes"] if n["id"] == sys.argv[2])["ssh"]["address"], d["ssh"]["port"])' lab/inventory.json "$1"; }
for node in HV02 HV04; do
    mkfifo "way-$node"
    # shellcheck disable=SC2046 # two words
    "$build/tests/lib/fault_proxy" "127.9.9.${node#HV0}" 2222 $(at "$node") <"way-$node" &
    echo $! >"way-$node.pid"
done
exec 7>way-HV02 8>way-HV04
python3 -c '
import json
d = json.load(open("lab/inventory.json"))
for n in d["nodes"]:
    if n["id"] in ("HV02", "HV04"):
        n["ssh"].update(address="127.9.9." + n["id"][3:], port=2222)
json.dump(d, open("ways.json", "w"))'
p inventory import ways.json >/dev/null
plan ways
forget
p stage ways --from "$work/share" --mib-per-second 2 --give-up 20s >ways.log 2>&1 & staging=$!
under_way() { # NODE: a part of the file is there
    local size
    size=$(stat -c %s lab/nodes/"$1"/state/fetched/*/*.msu 2>/dev/null)
    [[ ${size:-0} -gt 0 && $size -lt 1048576 ]]
}
for ((i = 0; i < 400; i++)); do under_way HV02 && under_way HV04 && break; sleep 0.05; done
report $((i == 400)) 'two nodes behind a proxy are pulling'
printf 'refuse\ncut\n' >&7
printf 'refuse\ncut\n' >&8
for ((i = 0; i < 400; i++)); do [[ $(stat -c %s lab/nodes/HV02/state/packages/*/*.msu 2>/dev/null) == 1048576 ]] && break; sleep 0.05; done
report $((i == 400)) 'a node that is cut off pulls on by itself'
echo accept >&7
wait "$staging"
report $(($? == 10 ? 0 : 1)) 'stage ends with what it could not learn' "$(cat ways.log)"
check 'the one that came back is asked again, and has it' 0 'HV02 +staged in' cat ways.log
check 'the one that did not has failed after --give-up' 0 'HV04 +FAILED: .*(refused|closed|lost|reset)' cat ways.log
check 'the others were not held up' 0 '^4 of 6 nodes have the package' cat ways.log
exec 7>&- 8>&-
p inventory import lab/inventory.json >/dev/null
forget
p stage old >/dev/null

# a node whose disk is too small (O32): refused before a byte is carried, and told why
sha=$(sha256sum windows11.0-kb5061977-x64.msu | cut -d' ' -f1)
store=lab/nodes/HV02/state/packages
if rm -rf "$store/$sha" && mount -t tmpfs -o size=2m tmpfs "$store" 2>/dev/null; then
    check 'stage names the node that has not three times the package free' 10 \
        'HV02 +FAILED: .*too little room in .*/HV02/.*: 2.0 MiB are free, 3.0 MiB are wanted, three times the package \(O32\)' p stage old
    report $([[ -z $(find "$store" -type f ! -name '*.lock' -size +0) ]]; echo $?) 'no byte of it was carried there' "$(find "$store" -ls)"
    check 'as JSON, too' 10 '"node":"HV02","staged":false.*too little room' p --json stage old
    mount -o remount,size=4m "$store"
    check 'with room it goes' 0 'HV02 +staged in.*|6 of 6 nodes have the package' p stage old
    umount "$store"
else
    report 0 'stage looks at the free space # SKIP a small disk needs root and tmpfs'
    report 0 'no byte of it was carried there # SKIP the same'
fi

# an agent that is too old
old='HV03.*this agent \([^)]*\) speaks protocol 1 to 1; this patchwave speaks 1 to 1: bring the older of the two up to date'
check 'discover names an agent that is too old, and gives no half a picture' 5 "$old" p inventory discover
p run old --on-hold exit >old.log 2>&1
report $(($? == 12 ? 0 : 1)) 'a run with it ends over its failure budget' "$(cat old.log)"
check 'the agent was refused before anything was done' 0 "set_aside.*$old|$old" p report
report $(($(ask "SELECT count(*) FROM steps") == 0 ? 0 : 1)) 'no step was ordered anywhere' "$(ask 'SELECT op FROM steps')"

# a node that cannot be reached: nobody listens at its port
python3 -c '
import json
d = json.load(open("lab/inventory.json"))
next(n for n in d["nodes"] if n["id"] == "HV04")["ssh"]["port"] = 9
json.dump(d, open("away.json", "w"))'
p inventory import away.json >/dev/null
check 'enroll tells which node does not answer' 5 'HV04 .*(refused|unreachable|connect)' p enroll --all
plan away 1
p run away --on-hold exit >away.log 2>&1
report $(($? == 12 ? 0 : 1)) 'a run with it, too, ends over its budget' "$(cat away.log)"
check 'it was set aside, with its address' 0 'set_aside' p status
report $(($(ask "SELECT count(*) FROM run_nodes WHERE run = (SELECT id FROM runs ORDER BY started DESC LIMIT 1) AND node = 'HV04' AND ending = 'set_aside' AND reason LIKE 'unreachable: connect to HV04 (127.%:9): Connection refused%'") == 1 ? 0 : 1)) 'the reason names address and port' "$(p status)"
check 'stage says which node did not get the package' 10 'HV04 +FAILED: .*refused' p stage away --give-up 3s

# each node is an open file, and what a process may open at first is little
p inventory import lab/inventory.json >/dev/null
check 'more nodes than open files allowed at first' 0 'HV06 +known' bash -c 'ulimit -Sn 14; exec "$1" enroll --all' - "$patchwave"

# a host key that has changed; HV03's agent is of this version again
sed -i "s|command=\"[^ ]*|command=\"$build/agent/patchwave-agent|" lab/nodes/HV03/authorized_keys
p inventory import lab/inventory.json >/dev/null
shown=$(ask "SELECT fingerprint FROM hostkeys WHERE node = 'HV05'")
pinned=SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
sqlite3 "$PATCHWAVE_DB" "UPDATE hostkeys SET key = 'ssh-ed25519 $pinned', fingerprint = '$pinned' WHERE node = 'HV05'"
plan changed
p run changed --on-hold exit >changed.log 2>&1
report $(($? == 12 ? 0 : 1)) 'a run with a changed host key ends over its budget' "$(cat changed.log)"
check 'the node is refused by both fingerprints, and the way on is told' 0 \
    "HOST KEY HAS CHANGED: pinned ${pinned}, shown ${shown//+/\\+} .*enroll --replace-key HV05" cat changed.log
check 'enroll --replace-key names both' 0 "HV05 +replaced .*${shown//+/\\+}.*before ${pinned}" p enroll HV05 --replace-key

# a gate that could not tell: the way on is told, and `resume` asks it again
"$hvlab" fault --dir lab add backup-silent HV01
cat >silent.json <<'T'
{"version": 1, "name": "silent", "patch": "KB5061977", "scope": {"nodes": ["HV01"]}, "waves": [1],
 "gates": [{"type": "backup_agent", "when": "after", "samples": 2, "interval": "2m", "soak": "4m", "max_age": "20m"}],
 "policy": {"planner_may_approve": true, "unreachable": "60m", "fresh": "30m", "timeout_factor": 20}}
T
p plan silent.json >/dev/null
p approve silent --ticket CHG-1 >/dev/null
again='`patchwave resume` asks again; `patchwave promote --accept-unknown --ticket NUMBER` leads on'
check 'a run whose gate cannot tell holds, and says both ways on' 11 "holding: .*$again" p run silent --on-hold exit
check 'so does its status' 0 "$again" p status
check 'promote alone is not enough' 6 'promote needs --accept-unknown .* or resume to ask again' p promote
check 'asked again while nothing can be learned it holds again, and says so' 11 'running.*UNKNOWN.*holding' bash -o pipefail -c '"$1" resume --on-hold exit | tr "\\n" " "' - "$patchwave"
"$hvlab" fault --dir lab remove backup-silent HV01
check 'asked again with an answer it goes on to its end' 0 'gate backup_agent after wave 1: pass' p resume --on-hold exit

# a run at rest that was paused: `resume --on-hold exit` leads out of the pause instead of leaving because of it
cat >paused.json <<'T'
{"version": 1, "name": "paused", "patch": "KB5061977", "scope": {"nodes": ["HV02"]}, "waves": [1], "gates": [{"type": "manual", "when": "before"}],
 "policy": {"planner_may_approve": true, "unreachable": "60m", "fresh": "30m", "timeout_factor": 20}}
T
p plan paused.json >/dev/null
p approve paused --ticket CHG-1 >/dev/null
check 'a manual gate holds, and leads on by promote' 11 'holding: a manual gate waits.*`patchwave promote` leads on' p run paused --on-hold exit
check 'resumed, it says where it stands' 11 'holding: a manual gate waits' p resume --on-hold exit
p promote >/dev/null
p pause --reason lunch >/dev/null
check 'paused at rest, it is led out by resume' 0 'holding: paused by an operator.*`patchwave resume` leads on' p resume --on-hold exit

bed_end
