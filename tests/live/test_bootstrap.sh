#!/usr/bin/env bash
# A node is set up over an administrator's SSH login (`enroll --bootstrap --run`): real sftp, ssh and sshd, the real agent. It happens
# in a copy of this machine's root (an overlay in namespaces of its own), so that accounts and /etc there are nobody's. systemd is
# played by tests/live/systemctl-stand-in: a container has none. Prints TAP.
set -u
source tests/lib/cli_bed.sh

if [[ ${1:-} != inside ]]; then
    made=$(mktemp -d "${TMPDIR:-/tmp}/patchwave-boot-XXXXXX")
    trap 'rm -rf "$made"' EXIT
    # the layers lie on a file system of memory: an overlay's upper layer cannot be an overlay
    layers() {
        mount -t tmpfs none "$made" && mkdir "$made"/{upper,work,root} &&
            mount -t overlay none -o "lowerdir=/,upperdir=$made/upper,workdir=$made/work" "$made/root" &&
            mount --bind /dev "$made/root/dev" && mount -t tmpfs none "$made/root/run" && mount -t tmpfs none "$made/root/tmp" &&
            mkdir -p "$made/root$root" "$made/root$build" && mount --bind "$root" "$made/root$root" && mount --bind "$build" "$made/root$build" &&
            mount -t proc proc "$made/root/proc" && mount -t devpts devpts "$made/root/dev/pts" -o ptmxmode=0666
    }
    export -f layers
    export made root build
    if ! unshare -m -p -f true 2>/dev/null || ! unshare -m -p -f bash -c layers 2>/dev/null; then
        echo "1..1"
        echo "ok 1 - bootstrap # SKIP this needs namespaces and an overlay: run it as root with CAP_SYS_ADMIN"
        exit 0
    fi
    unshare -m -p -f bash -c 'layers && exec env PW_BUILD_DIR="$build" chroot "$made/root" bash -c "cd \"$root\" && exec bash tests/live/test_bootstrap.sh inside"'
    exit
fi

address=127.9.8.7 port=40122
work=/root/work
mkdir -p "$work" /root/.ssh /run/sshd /run/stand-in
chmod 0700 /root/.ssh
cd "$work" || exit 1
export PATCHWAVE_DB=$work/patchwave.db HOME=/root
unset SSH_AUTH_SOCK

# the machine that is to become a node: Debian's own sshd_config, on an address of ours
install -m 0755 "$root/tests/live/systemctl-stand-in" /usr/bin/systemctl
ssh-keygen -A >/dev/null
printf '%s\n' "ListenAddress $address:$port" 'UsePAM no' 'PermitRootLogin prohibit-password' 'PidFile /run/sshd.pid' >/etc/ssh/sshd_config.d/00-test.conf
ssh-keygen -q -t ed25519 -N '' -f admin && ssh-keygen -q -t ed25519 -N '' -C 'controller' -f key
cp admin.pub /root/.ssh/authorized_keys
useradd --create-home winadmin && usermod -p '*' winadmin
install -d -o winadmin -m 0700 /home/winadmin/.ssh && install -o winadmin -m 0600 admin.pub /home/winadmin/.ssh/authorized_keys
"$(command -v sshd)" || exit 1
touch /run/stand-in/enabled.ssh
printf '%s\n' 'Host *' "  Port $port" "  IdentityFile $work/admin" '  IdentitiesOnly yes' "  UserKnownHostsFile $work/known_hosts" '  StrictHostKeyChecking accept-new' '  BatchMode yes' >ssh_config

# what goes there
mkdir -p files/drivers/toy world
install "$build/agent/patchwave-agent" files/patchwave-agent
install "$build/tests/lib/toy-driver" files/drivers/toy/toy-driver
cp "$root/agent/patchwave-agent.service" files/
echo M1 >world/machine_id
echo B1 >world/boot_id
printf '{"name":"toy","version":"1","contract":1,"actions":{"facts":{"argv":["./toy-driver","%s"],"limit_ms":60000}}}' "$work/world" >files/drivers/toy/driver.json

bootstrap() { p enroll --bootstrap N1 --os linux --key key.pub "$@"; }
there() { bootstrap --run "root@$address" --files files --ssh-config ssh_config "$@"; }

bootstrap >printed.sh
check 'the set-up wants to know what to send' 3 '--files: say which folder' bootstrap --run "root@$address"
check 'and to whom' 3 'name it' p enroll --bootstrap --run "root@$address" --files files --key key.pub
check 'an account that a shell would take apart is refused' 3 '--user' bootstrap --user 'x;id'
printf 'ssh-ed25519 AAAA"; id; "\n' >evil.pub
check 'so is such a key' 3 '--key' p enroll --bootstrap N1 --key evil.pub
check 'a login that does not open sets nothing up' 5 'sftp to nobody@.* ended with' p enroll --bootstrap N1 --os linux --key key.pub --run "nobody@$address" --files files --ssh-config ssh_config
[[ ! -e /usr/bin/patchwave-agent && ! -e /etc/patchwave ]]
report $? 'nothing was set up so far'

check 'the set-up goes through over an administrator'\''s login' 0 'N1 is set up; next: patchwave enroll N1' there
cmp -s printed.sh /root/patchwave-setup/setup.sh
report $? 'what was sent is what is printed, to the byte' "$(diff printed.sh /root/patchwave-setup/setup.sh)"
check 'a second time it goes through again' 0 'N1 is set up' there
there --json 2>/dev/null >answer.json
check 'every look of O27 is in it, and in the answer to a program' 0 '^True 11$' \
    python3 -c 'import json; d = json.load(open("answer.json")); print(d["complete"], d["output"].count("ok    "))'

cat >inventory.json <<T
{"version": 1, "name": "boot", "clusters": [{"id": "c", "storage": "shared", "witness": "share", "optimisation_off": true}], "vms": [],
 "nodes": [{"id": "N1", "cluster": "c", "ssh": {"address": "$address", "port": $port, "user": "patchwave", "identity": "$work/key"}, "memory_mib": 65536, "host_reserve_mib": 4096, "cpus": 8, "build": "26100.4061"},
           {"id": "N2", "cluster": "c", "ssh": {"address": "127.9.8.8"}, "memory_mib": 65536, "host_reserve_mib": 4096, "cpus": 8, "build": "26100.4061"},
           {"id": "N3", "cluster": "c", "ssh": {"address": "127.9.8.9"}, "memory_mib": 65536, "host_reserve_mib": 4096, "cpus": 8, "build": "26100.4061"}]}
T
head -c 300000 /dev/zero | tr '\0' 'p' >windows11.0-kb5061977-x64.msu
printf '%s' '{"version": 1, "name": "r", "patch": "KB5061977", "scope": {"nodes": ["N1"]}, "waves": ["100%"], "gates": []}' >rollout.json
p init >/dev/null
p inventory import inventory.json >/dev/null
head -c 70000 /dev/zero | tr '\0' 'c' >windows11.0-kb5043080-x64.msu
p patch add windows11.0-kb5061977-x64.msu --target 26100.4066 --checkpoint windows11.0-kb5043080-x64.msu >/dev/null
fingerprint=$(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2)
check 'the controller sees the key that the set-up showed' 0 "N1 +enrolled +ssh-ed25519 ${fingerprint//+/.}" p enroll N1 --accept-new
p plan rollout.json >plan.txt 2>&1
check 'hello and receive work over the account that was made' 0 '1 of 1 nodes have the package' p stage
for f in windows11.0-kb5061977-x64.msu windows11.0-kb5043080-x64.msu; do
    cmp -s "$f" "/var/lib/patchwave-agent/packages/$(sha256sum "$f" | cut -d' ' -f1)/$f"
    report $? "$f is in the node's store, by its digest"
done
one=(ssh -F /dev/null -p "$port" -i key -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile=known_hosts "patchwave@$address")
check 'that account runs one program and nothing else' 126 '' "${one[@]}" id
check 'and has no terminal' 255 'PTY allocation request failed' "${one[@]}" -tt id

# looks that fail are named, and the set-up is not called complete
look_fails() { # TITLE PATTERN: what was done for it is undone by the caller
    check "$1" 7 "^NOT +$2" there
}
echo 'AllowUsers root winadmin' >/etc/ssh/sshd_config.d/10-site.conf
look_fails 'a site that lets only others in is told (AllowUsers)' 'AllowUsers'
echo 'AllowGroups root winadmin' >/etc/ssh/sshd_config.d/10-site.conf
look_fails 'or by group (AllowGroups)' 'AllowUsers, AllowGroups'
echo 'DenyGroups patch*' >/etc/ssh/sshd_config.d/10-site.conf
look_fails 'or by a pattern that denies' 'AllowUsers, AllowGroups'
rm -f /etc/ssh/sshd_config.d/10-site.conf
rm /run/stand-in/enabled.ssh
look_fails 'an sshd that does not start with the machine is told' 'sshd starts with the machine'
touch /run/stand-in/enabled.ssh
usermod -aG adm patchwave
look_fails 'an account that is an administrator is told' 'patchwave is no administrator'
gpasswd -d patchwave adm >/dev/null
chmod g+w /usr/lib/patchwave/drivers/toy/driver.json
look_fails 'a driver that others may write is told' 'nobody but root may write'
chmod g-w /usr/lib/patchwave/drivers/toy/driver.json
check 'and without them it is complete again' 0 'N1 is set up' there

# Windows: as far as Linux can tell, what is sent is what is printed, and one command runs it
cat >/usr/local/bin/record <<'T'
#!/bin/sh
case $SSH_ORIGINAL_COMMAND in
*sftp*) exec /usr/lib/openssh/sftp-server ;;
esac
printf '%s' "$SSH_ORIGINAL_COMMAND" > "$HOME/command"
cat "$HOME/answer"
T
chmod 0755 /usr/local/bin/record
printf '%s\n' 'Match User winadmin' '    ForceCommand /usr/local/bin/record' >/etc/ssh/sshd_config.d/20-windows.conf
kill -HUP "$(cat /run/sshd.pid)"
sleep 1
mkdir -p exe/drivers/hyperv
cp -R "$root"/agent/drivers/hyperv/. exe/drivers/hyperv/
echo MZ >exe/patchwave-agent.exe
windows() { p enroll --bootstrap HV07 --key key.pub --run "winadmin@$address" --files exe --ssh-config ssh_config; }
p enroll --bootstrap HV07 --key key.pub >printed.ps1
printf 'ok    a look\r\npatchwave-setup: complete\r\n' >/home/winadmin/answer
check 'the Windows set-up is sent and run' 0 'HV07 is set up' windows
cmp -s printed.ps1 /home/winadmin/patchwave-setup/setup.ps1
report $? 'what was sent is what is printed, to the byte'
[[ $(cat /home/winadmin/command) == 'powershell.exe -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -OutputFormat Text -File patchwave-setup\setup.ps1' ]]
report $? 'one command runs it, with nothing that cmd.exe or PowerShell would take apart' "$(cat /home/winadmin/command)"
diff -r exe/drivers /home/winadmin/patchwave-setup/drivers >/dev/null
report $? 'the driver is there whole'
printf 'patchwave-setup: 1 looks failed\r\n' >/home/winadmin/answer
check 'a look that failed is no success' 7 'HV07 is NOT set up' windows
printf 'ok    cut off' >/home/winadmin/answer
check 'nor is a session that was cut' 7 'HV07 is NOT set up' windows

bed_end
