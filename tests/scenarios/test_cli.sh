#!/usr/bin/env bash
# The command line as people use it: exact exit codes, and what is said when something is wrong. Prints TAP.
set -u
source tests/lib/cli_bed.sh
bed_open cli
export TZ=UTC

# usage
check 'no command is wrong usage' 2 '^usage: patchwave COMMAND' p
check 'help is not' 0 '^usage: patchwave COMMAND' p --help
check 'version' 0 '^patchwave [0-9]+\.[0-9]+\.[0-9]+$' p --version
check 'unknown command, with a hint' 2 'unknown command "inventroy" \(did you mean "inventory"\?\)' p inventroy
check 'unknown option, with a hint' 2 'unknown option --markdwon \(did you mean --markdown\?\)' p plan show --markdwon
check 'wrong usage as JSON' 2 '^\{"error":\{"name":"[a-z]+","message":"unknown option --markdwon' p --json plan show --markdwon
check 'missing operand' 2 'inventory import needs: FILE' p inventory import
check 'a group alone lists its commands' 2 'db rebuild' p db
for command in init 'inventory import' 'inventory discover' 'inventory list' 'inventory show' enroll 'patch add' 'patch list' 'consent add' 'consent list' \
    plan 'plan list' 'plan show' 'plan verify' 'plan diff' approve stage run resume takeover status runs pause abort retry set-aside promote \
    rollback return decide export log downtime report replay 'db path' 'db check' 'db rebuild' backup 'db migrate'; do
    check "$command --help" 0 "^usage: patchwave $command" p $command --help
    check "$command is in docs/cli.md" 0 "$command" grep -F -- "\`$command" "$root/docs/cli.md"
done
# The table of exit codes in the document is the header's.
codes() { sed -nE 's/^ *X\(([A-Z_]+), ([0-9]+), *$/\2 \1/p; s/^ *X\(([A-Z_]+), ([0-9]+), .*/\2 \1/p' "$root/orchestrator/exit_code.h" | sort -n; }
documented() { sed -nE 's/^\| ([0-9]+) \| ([A-Z_]+) \|.*/\1 \2/p' "$root/docs/cli.md" | sort -n; }
check 'docs/cli.md has the header'"'"'s exit codes' 0 '^$' diff <(codes) <(documented)
check 'there are fifteen' 0 '^15$' bash -c "$(declare -f codes); root=$root; codes | wc -l"

# store
check 'no database' 3 'no such file|No such file.*patchwave init' p status
check 'init' 0 'created' p init
check 'init again' 3 'is there already' p init
check 'nothing in it yet: inventory' 3 'no inventory yet' p inventory show
check 'nothing in it yet: plan' 3 'no plan yet' p plan show
check 'nothing in it yet: run' 3 'no run yet' p status
check 'no run to talk to' 3 'no run yet' p pause
check 'db check of a new one' 0 'file and chain are whole' p db check
cp patchwave.db garbage.db && printf 'garbage garbage garbage' | dd of=garbage.db conv=notrunc status=none
check 'a corrupt file' 4 'not a patchwave database' p --db garbage.db status
sqlite3 other.db 'CREATE TABLE t (a)' && check "somebody else's database" 4 'is not a patchwave database' p --db other.db db migrate
cp patchwave.db newer.db && sqlite3 newer.db 'PRAGMA user_version = 99'
check 'a newer schema' 4 'has schema version 99, this program knows up to 1' p --db newer.db db migrate
check 'the same, to a reader' 4 'use a newer patchwave' p --db newer.db status
check 'the error as JSON' 3 '^\{"error":\{"name":"not_found","message":"no run yet' p --json status

# a second writer
exec 8<>patchwave.db.lock
python3 - <<'T' &
import fcntl, os, struct, sys, time
fd = os.open("patchwave.db.lock", os.O_RDWR)
fcntl.fcntl(fd, 37, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
os.pwrite(fd, b"%d\n" % os.getpid(), 0)
open("locked", "w").close()
while not os.path.exists("unlock"):
    time.sleep(0.02)
T
locker=$!
for _ in $(seq 500); do [[ -e locked ]] && break; sleep 0.02; done
check 'a second writer is told who holds the database' 4 "in use by another patchwave \(pid $locker\)" p inventory import "$root/examples/inventories/two-clusters.json"
check 'readers go on' 0 'no plan yet' p plan list
touch unlock
wait "$locker"
exec 8>&-

# inventory
good=$root/examples/inventories/two-clusters.json
edit() { python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
exec(sys.argv[2])
json.dump(d, open(sys.argv[3], "w"), indent=1)' "$1" "$2" "$3"; }
check 'a missing file' 3 'nowhere.json: No such file' p inventory import nowhere.json
printf '{"version": 1,\n "name": }' >bad.json
check 'malformed JSON, by line and column' 3 'bad.json:2:10: ' p inventory import bad.json
printf '{"version": 1, "name": "a", "name": "b"}' >bad.json
check 'duplicate keys' 3 'bad.json:1:[0-9]+: .*name' p inventory import bad.json
edit "$good" 'd["nodes"][0]["memory_mib"] = "much"' bad.json
check 'a wrong type, with its place' 3 'bad.json:[0-9]+:[0-9]+: .*\(at /nodes/0/memory_mib\)' p inventory import bad.json
edit "$good" 'd["nodes"].append(d["nodes"][0])' bad.json
check 'a duplicate node' 3 'bad.json:[0-9]+:[0-9]+: ' p inventory import bad.json
edit "$good" 'd["vms"][0]["home"] = "HV99"' bad.json
check 'a VM on an unknown node' 3 'bad.json:[0-9]+:[0-9]+: .*HV99|bad.json:[0-9]+:[0-9]+: .*/vms/0/' p inventory import bad.json
edit "$good" 'd["clock"] = {"factor": 60, "anchor_ms": 0}' bad.json
check 'a time factor outside a lab' 3 'bad.json:[0-9]+:[0-9]+: .*lab' p inventory import bad.json
check 'none of them was taken in' 3 'no inventory yet' p inventory show
check 'a good one' 0 'imported' p inventory import "$good"
check 'nodes are listed' 0 'HV01' p inventory list
check 'clusters are listed as JSON' 0 '"cluster": "' p --json inventory list --clusters
check 'what is shown can be imported again' 0 'imported' bash -c "'$patchwave' inventory show >again.json && '$patchwave' inventory import again.json"

# a VM's name cannot steer the terminal
edit "$good" 'd["vms"][0]["name"] = "evil\u001b[2J\u202e|x"' evil.json
p inventory import evil.json >/dev/null
check 'escape sequences are shown, not sent' 0 'evil\\x1b\[2J\\u\{202e\}\|x' p inventory list --vms
p inventory import "$good" >/dev/null

# packages
printf 'package' >windows11.0-kb5061977-x64.msu
check 'a missing package' 3 'none.msu: No such file' p patch add none.msu --kb KB1 --target 26100.4066
check 'a package without its build' 3 '--target' p patch add windows11.0-kb5061977-x64.msu
check 'a wrong build' 3 '--target: ' p patch add windows11.0-kb5061977-x64.msu --target new
check 'a wrong digest' 3 'has SHA-256 [0-9a-f]{64}, not 00 as --sha256 says' p patch add windows11.0-kb5061977-x64.msu --target 26100.4066 --sha256 00
cp "$root/examples/rollouts/emergency.json" rollout.json
sed -i "s|\.\./policies|$root/examples/policies|" rollout.json
check 'an unknown KB is named with the known ones' 3 'rollout.json:[0-9]+:[0-9]+: unknown patch "KB5061977" \(known: none\)' p plan rollout.json
check 'a checkpoint package that is missing' 3 'none.msu: No such file' p patch add windows11.0-kb5061977-x64.msu --target 26100.4066 --checkpoint none.msu
mkdir beside && printf 'twin' >beside/windows11.0-kb5061977-x64.msu && printf 'checkpoint' >windows11.0-kb5043080-x64.msu
check 'one that is named like its target' 3 'is named like the target' p patch add windows11.0-kb5061977-x64.msu --target 26100.4066 --checkpoint beside/windows11.0-kb5061977-x64.msu
check 'wusa takes one package' 3 'needs --tool dism' p patch add windows11.0-kb5061977-x64.msu --target 26100.4066 --tool wusa --checkpoint windows11.0-kb5043080-x64.msu
check 'a package with the checkpoint package that it needs' 0 'with the checkpoint package windows11.0-kb5043080-x64.msu: 10 bytes' \
    p patch add windows11.0-kb5061977-x64.msu --target 26100.4066 --checkpoint windows11.0-kb5043080-x64.msu
edit rollout.json 'd["name"] = "with-checkpoint"; d["policy"]["planner_may_approve"] = True' checkpoint.json
check 'the plan names it and its digest' 0 'with the checkpoint package windows11.0-kb5043080-x64.msu \([0-9a-f]{64}\)' p plan checkpoint.json
check 'so does the document for the board' 0 'Checkpoint package \| windows11.0-kb5043080-x64.msu, SHA-256' p plan show --markdown
check 'and nothing of where it lies here' 1 '' bash -c "'$patchwave' --json plan show | grep -F '$PWD'"
printf 'spoiled' >windows11.0-kb5043080-x64.msu
check 'a checkpoint package that was altered is not staged' 3 'kb5043080-x64.msu was altered' p stage with-checkpoint
check 'tables are made again with it' 0 'equal to what was there' p db rebuild
rm -r "$PATCHWAVE_DB" && p init >/dev/null && p inventory import "$good" >/dev/null
check 'a good package; its number is read from its name' 0 'added KB5061977: 7 bytes' p patch add windows11.0-kb5061977-x64.msu --target 26100.4066

# rollouts
edit rollout.json 'd["waves"] = [0]' bad.json
check 'a wave below 1' 3 'bad.json:[0-9]+:[0-9]+: .*\(at /waves/0\)' p plan bad.json
echo '{"version": 1, "name": "one-line", "patch": "KB5061977", "gates": [], "waves": [0]}' >bad.json
check 'what stands behind the patch is named by its own column' 3 'bad.json:1:81: .*\(at /waves/0\)' p plan bad.json
edit rollout.json 'd["waves"] = [12, "101%"]' bad.json
check 'a percentage above 100' 3 'bad.json:[0-9]+:[0-9]+: .*\(at /waves/1\)' p plan bad.json
edit rollout.json 'd["gates"] = [{"type": "performance"}]' bad.json
check 'a gate that is not built in' 3 'bad.json:[0-9]+:[0-9]+: ' p plan bad.json
edit rollout.json 'd["policy"] = {"include": ["nowhere.json"]}' bad.json
check 'an include that is not there' 3 'bad.json:[0-9]+:[0-9]+: nowhere.json: No such file.*\(at /policy/include/0\)' p plan bad.json
edit rollout.json 'd["windows"] = [{"zone": "Europe/Atlantis", "days": ["mon"], "from": "22:00", "to": "06:00"}]' bad.json
check 'an unknown time zone' 3 'bad.json:[0-9]+:[0-9]+: time zone "Europe/Atlantis" is not known.*\(at /windows/0/zone\)' p plan bad.json
edit rollout.json 'd["windows"] = [{"zone": "Europe/Berlin", "days": ["someday"], "from": "22:00", "to": "06:00"}]' bad.json
check 'an unknown day' 3 'a day is one of mon' p plan bad.json
for clock in 25:7 1:5 ' 1:05' +1:05 24:30 02:60 '02:30 ' 022:3 02-30; do
    edit rollout.json "d['windows'] = [{'zone': 'Europe/Berlin', 'days': ['mon'], 'from': '22:00', 'to': '$clock'}]" bad.json
    check "no time of day: \"$clock\"" 3 'bad.json:[0-9]+:[0-9]+: with days, from and to must look like "22:00" \(at /windows/0\)' p plan bad.json
done
edit rollout.json 'd["windows"] = [{"zone": "Europe/Berlin", "days": ["mon"], "from": "24:00", "to": "06:00"}]' bad.json
check 'no window begins at 24:00' 3 'must look like "22:00" \(at /windows/0\)' p plan bad.json
for day in 2026-02-29T22:00 2026-13-01T22:00 2026-1-01T022:00 '2026-11-31T22:00' 2026-11-23T22:0x; do
    edit rollout.json "d['freezes'] = [{'zone': 'Europe/Berlin', 'from': '$day', 'to': '2027-01-01T06:00'}]" bad.json
    check "no date: \"$day\"" 3 'bad.json:[0-9]+:[0-9]+: with a zone, from and to must look like "2026-11-23T22:00" \(at /freezes/0\)' p plan bad.json
done
# Berlin's clocks are put back on 2026-10-25: 02:30 comes at 00:30 and at 01:30 UTC; forward on 2026-03-29: 02:30 never comes, they jump at 01:00 UTC.
edit rollout.json 'd["name"] = "clocks"; d["windows"] = [{"zone": "Europe/Berlin", "from": "2026-10-25T02:30", "to": "2026-10-25T24:00"}, {"zone": "Europe/Berlin", "from": "2026-10-24T22:00", "to": "2026-10-25T02:30"}, {"zone": "Europe/Berlin", "from": "2026-03-29T02:30", "to": "2026-03-29T06:00"}]; d["freezes"] = [{"zone": "Europe/Berlin", "from": "2026-10-25T02:30", "to": "2026-10-26T00:00"}, {"zone": "Europe/Berlin", "from": "2026-10-24T22:00", "to": "2026-10-25T02:30"}]' clocks.json
spans() { p --json plan clocks.json | python3 -c '
import json, sys
r = json.load(sys.stdin)["rollout"]
print(*(f"{kind[0]} {s['"'from'"'][5:16]} {s['"'to'"'][5:16]};" for kind in ("windows", "freezes") for s in r[kind]))'; }
check 'a time that comes twice shortens a window and lengthens a freeze' 0 \
    '^w 10-25T01:30 10-25T23:00; w 10-24T20:00 10-25T00:30; w 03-29T01:00 03-29T04:00; f 10-25T00:30 10-25T23:00; f 10-24T20:00 10-25T01:30;$' spans
edit rollout.json 'd["policy"]["failures_per_wvae"] = 1' bad.json
check 'an unknown policy, with a hint' 3 'failures_per_wave' p plan bad.json
check 'none of the bad ones was planned' 0 '^[0-9a-f]+ +clocks ' bash -c "'$patchwave' plan list | tail -n +2; '$patchwave' plan list --json | python3 -c 'import json, sys; assert len(json.load(sys.stdin)) == 1'"

# plans
check 'a plan is printed with its course' 0 'wave 1: [0-9]+ nodes, at most' p plan rollout.json --out plan.json
check 'it passes the checker' 0 'every step checked, no fault' p plan verify
check 'it is shown from its file' 0 '^PLAN [0-9a-f]{12} ' p plan show plan.json
check 'for the board' 0 '^## 7 Backout' p plan show --markdown
hash=$(python3 -c 'import json; print(json.load(open("plan.json"))["hash"])')
check 'the hash is in the board'"'"'s document' 0 "$hash" p plan show --markdown
edit plan.json 'd["nodes"][0]["wave"] = 2; d["planner"] = "nobody"' altered.json
check 'an altered plan is refused' 3 'altered.json|hash' p plan show altered.json
check 'a plan differs from itself in nothing' 0 'the plans are the same' p plan diff "${hash:0:12}" plan.json
edit rollout.json 'd["waves"] = ["50%"]; d["name"] = "other"' other.json
p plan other.json >/dev/null
check 'two plans differ' 0 '^waves: ' p plan diff "$hash" other
check 'an unknown plan' 3 'no plan "ffffffff"' p plan show ffffffff

# approvals
check 'a plan that is not approved does not run' 6 "plan ${hash:0:12} is not approved" p run "$hash"
check 'an approval names its ticket' 3 '--ticket' p approve "$hash"
check 'the planner does not approve his own plan' 6 'made this plan and may not approve it \(O34\)' p approve "$hash" --ticket CHG-1
edit rollout.json 'd["policy"]["planner_may_approve"] = True; d["name"] = "allowed"' allowed.json
p plan allowed.json >/dev/null
check 'unless the policy lets him' 0 '^approved [0-9a-f]{12} by ' p approve allowed --ticket CHG-1 --expires 1s
sleep 1.1
check 'an approval that has run out' 6 'the approval of plan [0-9a-f]{12} by .* ran out at' p run allowed
p approve allowed --ticket CHG-2 >/dev/null
check 'nodes that are not enrolled' 5 'nodes of the plan and its clusters are not enrolled \(HV01' p run allowed
printf 'pakcage' >windows11.0-kb5061977-x64.msu
check 'an altered package' 3 'package .* was altered: its SHA-256 is .*approved is .*put the approved file back, or add this one' p run allowed
check 'the same when staging' 3 'was altered' p stage allowed
rm windows11.0-kb5061977-x64.msu
check 'a package that is gone' 3 'package of KB5061977: .*\.msu is not there: put it back, or `patchwave patch add FILE` tells where' p run allowed
check 'nothing of all this began a run' 0 'no run yet' p runs

# enrolling
check 'enroll wants nodes' 3 'name nodes, or say --all' p enroll
check 'how a Windows node is set up' 0 'ForceCommand "C:.Program Files.patchwave.patchwave-agent.exe" ssh' p enroll --bootstrap HV07
check 'and a Linux node, for its name, user and key' 0 "restrict ssh-ed25519 AAAAtest me" bash -c "echo 'ssh-ed25519 AAAAtest me' >key.pub; '$patchwave' enroll --bootstrap HV07 --os linux --user pw --key key.pub"
check 'no mark is left in it' 1 '^$' bash -c "'$patchwave' enroll --bootstrap HV07 --key key.pub | grep '@[A-Z]*@'"
check 'a private key stays here' 3 'is a private key' bash -c "echo 'BEGIN OPENSSH PRIVATE KEY' >id; '$patchwave' enroll --bootstrap --key id"
check 'enroll an unknown node' 3 'no node "HV99"' p enroll HV99

# consents
vm=$(p --json inventory list --vms | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["vm"])')
check 'a consent names its ticket' 3 '--ticket' p consent add "$vm"
check 'a consent for an unknown VM' 3 'no VM "nobody"' p consent add nobody --ticket T
check 'a consent' 0 'consent recorded' p consent add "$vm" --ticket T --method save
check 'it is listed' 0 'save' p consent list

# the log
check 'the log tells what was done' 0 'approval' p log
check 'one entry' 0 '"hash": "[0-9a-f]{64}"' p --json log --seq 1
check 'an entry that is not there' 3 'the log has no entry 99999' p log --seq 99999
check 'a kind that is none, with those that are' 0 'no such entry; kinds in this log: .*inventory, .*plan' p log --kind verbs
check 'an entry of no run has no whole picture' 3 'is no event of a run' p log --seq 1 --whole
check 'the chain is whole' 0 'file and chain are whole' p db check
check 'rebuilding changes nothing' 0 'equal to what was there' p db rebuild
check 'a backup' 0 'copied to copy.db, up to log entry [0-9]+' p backup copy.db
check 'it is whole' 0 'file and chain are whole' p --db copy.db db check
check 'and does not overwrite' 3 'is there already' p backup copy.db
# a disk that is full, and one that cannot be written
mkdir disk
if mount -t tmpfs tmpfs disk -o size=2m 2>/dev/null; then
    trap 'umount "$work/disk" 2>/dev/null; bed_finish' EXIT
    cp patchwave.db disk/
    entries=$(sqlite3 patchwave.db 'SELECT count(*) FROM log')
    dd if=/dev/zero of=disk/filler bs=4k 2>/dev/null
    check 'a full disk' 4 'the disk is full' p --db disk/patchwave.db consent add "$vm" --ticket T
    rm disk/filler
    check 'nothing of it is half-written' 0 "^$entries log entries.*whole" p --db disk/patchwave.db db check
    mount -o remount,ro disk
    check 'a read-only disk' 4 'Read-only file system' p --db disk/patchwave.db consent add "$vm" --ticket T
    check 'readers can read there' 0 'CHG-|allowed' p --db disk/patchwave.db plan list
    umount disk
else
    n=$((n + 1))
    echo "ok $n - a full and a read-only disk # SKIP needs root"
fi
sqlite3 copy.db "UPDATE log SET event = replace(event, '\"failures_per_run\":', '\"failures_per_run\":1') WHERE kind = 'plan'"
check 'a plan altered after its approval does not run' 4 'plan [0-9a-f]{12}: ' p --db copy.db run allowed
sqlite3 patchwave.db "UPDATE plans SET name = 'forged'"
check 'what was changed by hand is put right' 0 'DIFFERED from the log and were put right' p db rebuild
sqlite3 patchwave.db "UPDATE log SET event = replace(event, 'CHG-1', 'CHG-9') WHERE kind = 'approval'"
check 'an altered log is found' 7 'was altered' p db check

bed_end
