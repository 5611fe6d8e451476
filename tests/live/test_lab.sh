#!/usr/bin/env bash
# The lab's daemon with real processes: who may read the truth, what a reboot ends, what is left after kill -9. Prints TAP.
set -u
bin=${PW_BUILD_DIR:?}/examples/lab
dir=$(mktemp -d /tmp/pw-lab-XXXXXX)
lab=$dir/lab n=0 failed=0 pid=

say() { # say OK TITLE
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else failed=$((failed + 1)); echo "not ok $n - $2"; fi
}
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT

serve() {
    "$bin/hvlab" serve --dir "$lab" --processes > "$dir/serve.log" 2>&1 &
    pid=$!
    for _ in $(seq 1000); do grep -q ready "$dir/serve.log" && break; sleep 0.02; done
    "$bin/hvlab" wait --dir "$lab"
}
ask() { # ask NODE ACTION ARGS [MODE]
    echo "{\"contract\":1,\"action\":\"$2\",\"mode\":\"${4:-run}\",\"node\":\"$1\",\"limit_ms\":36000000,\"args\":$3}" | "$lab/driver/hvlab-driver" 2> /dev/null
}
rpc() { # rpc SOCKET LINE...: the last answer
    python3 - "$@" << 'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rw")
for line in sys.argv[2:]:
    f.write(line + "\n")
    f.flush()
    answer = f.readline()
print(answer.strip())
PY
}
ours() { pgrep -f -- "$lab/" | grep -vx -e $$ -e "$pid" | wc -l; }
empty() { # empty NODE OTHER...: pause, move all off, stop vmms
    local node=$1 vms vm to=0 others
    shift
    others=("$@")
    ask "$node" pause '{"found_ours":true}' > /dev/null
    vms=$(ask "$node" vms '{}' | python3 -c 'import json,sys; print(*[v["id"] for v in json.load(sys.stdin)["result"]["vms"]])')
    for vm in $vms; do
        for _ in 1 2 3; do
            to=$(((to + 1) % ${#others[@]}))
            ask "$node" move_vm "{\"vm\":\"$vm\",\"to\":\"${others[$to]}\",\"method\":\"live\"}" | grep -q '"result"' && break
        done
    done
    ask "$node" move_groups "{\"to\":[\"${others[0]}\"]}" > /dev/null
    ask "$node" stop_vmms '{"parked":[]}'
}
boot_of() { ask "$1" facts '{}' | sed 's/.*"boot_id":"\([^"]*\)".*/\1/'; }
package='{"package":{"path":"/x","name":"x.msu","sha256":"0","kb":"KB5061977","build":26100,"ubr":4066},"tool":"dism","parked":[]}'

"$bin/hvlab" make --dir "$lab" --nodes 8 --seed 5 --speed 600 --agent "$PW_BUILD_DIR/agent/patchwave-agent" > /dev/null
say $? "a lab is made"
"$bin/hvlab" fault --dir "$lab" add late-back HV06 60 && "$bin/hvlab" fault --dir "$lab" add install-slow HV06 10
say $? "a fault can be set before it runs"
serve
say $? "eight nodes answer: sshd and agent of each"

# Who may read the truth.
rpc "$lab/driver.sock" '{"jsonrpc":"2.0","id":1,"method":"truth"}' | grep -q '"not_found"'
say $? "the driver's socket knows no truth"
rpc "$lab/driver.sock" '{"jsonrpc":"2.0","id":1,"method":"token","params":{"token":"x"}}' | grep -q '"not_found"'
say $? "nor a token"
rpc "$lab/admin.sock" '{"jsonrpc":"2.0","id":1,"method":"truth"}' | grep -q '"auth"'
say $? "the admin's socket tells nothing without the token"
rpc "$lab/admin.sock" '{"jsonrpc":"2.0","id":1,"method":"token","params":{"token":"00000000000000000000000000000000"}}' '{"jsonrpc":"2.0","id":2,"method":"truth"}' | grep -q '"auth"'
say $? "nor with a wrong one"
[ "$(stat -c %a "$lab/admin.token" "$lab/admin.sock" "$lab/world.db" | sort -u)" = 600 ]
say $? "token, socket and file are for their owner only"
! grep -rqs -e admin -e truth -e world.db "$lab"/driver/* "$lab"/nodes/*/agent.json "$lab"/nodes/*/authorized_keys
say $? "no agent and no driver is told where they are"
! strings "$bin/hvlab-driver" 2> /dev/null | grep -q admin.token
say $? "the driver program does not know the token's name"

# Nobody who hangs up before the answer ends the world.
python3 - "$lab/driver.sock" << 'PY'
import socket, sys
for _ in range(20):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.shutdown(socket.SHUT_RD)
    s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"truth"}\n')
    s.close()
PY
kill -0 "$pid" && boot_of HV06 | grep -q .
say $? "the daemon outlives drivers that ask and hang up"
grep -q '^SigIgn:.*[02468ace]...$' "/proc/$(pgrep -f "hvlab keep .*--node HV07 ")/status"
say $? "its nodes' keepers do not inherit its deafness to broken pipes"

# A killed driver cancels nothing.
empty HV06 HV05 HV07 HV08 | grep -q '"stopped"'
say $? "HV06 is emptied and its vmms stopped"
(ask HV06 install "$package" > /dev/null) &
sleep 0.3
pkill -KILL -P $! hvlab-driver
wait $! 2> /dev/null
ask HV06 install "$package" witness | grep -q '"running"'
say $? "the install goes on after its driver was killed"
for _ in $(seq 3000); do ask HV06 install "$package" witness | grep -q '"running"' || break; sleep 0.02; done
ask HV06 install "$package" witness | grep -q '"done"'
say $? "and ends"

# A reboot ends the node's processes, and brings them back.
boot=$(boot_of HV06)
before=$(pgrep -f "sshd.*$lab/nodes/HV06/sshd_config" | head -1)
ask HV06 reboot "{\"boot_id\":\"$boot\",\"parked\":[]}" > /dev/null
say $((! $?)) "the driver that asked for the reboot gets no answer"
gone=
for _ in $(seq 400); do pgrep -f "$lab/nodes/HV06/" > /dev/null || { gone=yes && break; }; sleep 0.01; done
[ "$gone" ]
say $? "sshd and agent of HV06 are gone"
for _ in $(seq 3000); do pgrep -f "$lab/nodes/HV06/sshd_config" > /dev/null && break; sleep 0.02; done
"$bin/hvlab" wait --dir "$lab"
after=$(pgrep -f "sshd.*$lab/nodes/HV06/sshd_config" | head -1)
[ -n "$after" ] && [ "$before" != "$after" ] && [ "$(boot_of HV06)" != "$boot" ]
say $? "they are back, with a new boot id"
agent=$(pgrep -f "serve --config $lab/nodes/HV07/agent.json")
kill -9 "$agent"
for _ in $(seq 1000); do again=$(pgrep -f "serve --config $lab/nodes/HV07/agent.json") && [ "$again" != "$agent" ] && break; sleep 0.02; done
[ -n "$again" ] && [ "$again" != "$agent" ]
say $? "a killed agent is started again"
"$bin/hvlab" truth --dir "$lab" --json | python3 -c 'import json,sys; t=json.load(sys.stdin); sys.exit(bool(t["damage"]) or not t["downtime"])'
say $? "the truth holds downtime and no damage"

# kill -9 of the daemon leaves nothing behind; its file goes on.
sleep 1.2
kill -9 "$pid"
wait "$pid" 2> /dev/null
pid=
for _ in $(seq 1000); do [ "$(ours)" = 0 ] && break; sleep 0.02; done
[ "$(ours)" = 0 ]
say $? "after kill -9 of the daemon no process of the lab is left"
serve
ask HV06 verify '{"build":26100,"ubr":4066,"kb":"KB5061977"}' | grep -q '"ubr":4066'
say $? "started again, the world is where it was"
"$bin/hvlab" serve --dir "$lab" 2>&1 | grep -q "already running"
say $? "a second daemon in the same folder is refused"
kill "$pid"
wait "$pid"
pid=
[ "$(ours)" = 0 ]
say $? "SIGTERM ends everything before the daemon itself"
echo "1..$n"
[ "$failed" = 0 ]
