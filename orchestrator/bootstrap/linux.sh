# Setting up @NODE@ for patchwave (Linux). Once per node, as root, in the folder that holds patchwave-agent,
# patchwave-agent.service and drivers/NAME (the driver's folder, driver.json included):  sh setup.sh
# It may be repeated. Nothing is undone when it stops half way: it says where.
setup() {
set -euf # f: patterns of sshd_config stay patterns
bad=0
look() { # TITLE COMMAND...: one line; a look that fails is counted
    title=$1
    shift
    if "$@" > /dev/null 2>&1; then echo "ok    $title"; else echo "NOT   $title"; bad=$((bad + 1)); fi
}

cd "$(dirname "$0")"
if [ -f /var/lib/patchwave-agent/journal.db ]; then
    open=$(/usr/bin/patchwave-agent journal --open) || true
    if [ -n "$open" ]; then echo "the agent that is there has open operations; it ends them first: $open"; return 1; fi
fi

echo '1  the agent, its driver and its unit'
driver=$(ls drivers | head -n 1) # one folder
install -m 0755 patchwave-agent /usr/bin/patchwave-agent
install -m 0644 patchwave-agent.service /etc/systemd/system/patchwave-agent.service
install -d /usr/lib/patchwave/drivers
cp -R "drivers/$driver" /usr/lib/patchwave/drivers/
chown -R root:root /usr/lib/patchwave

echo '2  a dedicated account that no password opens'
id -u @USER@ > /dev/null 2>&1 || useradd --system --create-home --home-dir /var/lib/patchwave-ssh --shell /bin/sh @USER@
usermod -p '*' @USER@ # no password fits; "!" would lock the account, which some sshd refuse

echo '3  the configuration of the agent, and its service'
install -d /etc/patchwave
printf '%s\n' '{"node":"@NODE@","state_dir":"/var/lib/patchwave-agent","socket":"/run/patchwave-agent/agent.sock","socket_group":"@USER@","driver":"/usr/lib/patchwave/drivers/'"$driver"'"}' > /etc/patchwave/agent.json
systemctl daemon-reload
systemctl enable patchwave-agent
systemctl restart patchwave-agent

echo '4  the key, and one program for this account'
install -d /etc/ssh/patchwave
printf '%s\n' 'restrict @KEY@' > /etc/ssh/patchwave/authorized_keys
chmod 0644 /etc/ssh/patchwave/authorized_keys
cat > /etc/ssh/sshd_config.d/patchwave.conf << 'END'
Match User @USER@
    AuthorizedKeysFile /etc/ssh/patchwave/authorized_keys
    ForceCommand /usr/bin/patchwave-agent ssh
    PermitTTY no
    AllowTcpForwarding no
    AllowAgentForwarding no
    X11Forwarding no
END
sshd=$(command -v sshd || echo /usr/sbin/sshd)
"$sshd" -t
systemctl reload ssh 2> /dev/null || systemctl reload sshd

echo '5  looks (O27, O28): nothing is changed any more'
effective=$("$sshd" -T -C user=@USER@,host=localhost,addr=127.0.0.1)
says() { printf '%s\n' "$effective" | grep -qixF -- "$1"; }
listed() { # KEYWORD NAME...: whether a pattern of the keyword fits one of the names
    keyword=$1
    shift
    for pattern in $(printf '%s\n' "$effective" | sed -n "s/^$keyword //p"); do
        for name in "$@"; do case $name in ${pattern%%@*}) return 0 ;; esac; done
    done
    return 1
}
let_in() { # an Allow list that is there has to name it, a Deny list must not
    groups=$(id -Gn @USER@)
    if printf '%s\n' "$effective" | grep -q '^allowusers '; then listed allowusers @USER@ || return 1; fi
    if printf '%s\n' "$effective" | grep -q '^allowgroups '; then listed allowgroups $groups || return 1; fi
    ! listed denyusers @USER@ && ! listed denygroups $groups
}
only_root_writes() { [ -z "$(find /etc/ssh/patchwave /usr/bin/patchwave-agent /usr/lib/patchwave \( -perm /022 -o ! -user root \) ! -type l -print)" ]; }
any_enabled() { systemctl is-enabled ssh || systemctl is-enabled sshd || systemctl is-enabled ssh.socket; }
open_to_ssh() { # where one of these two guards the machine; other filters show when the controller connects
    if command -v firewall-cmd && firewall-cmd --state; then firewall-cmd --query-service=ssh || return 1; fi
    if command -v ufw && ufw status | grep -q '^Status: active'; then ufw status | grep -qE '(^| )(22(/tcp)?|OpenSSH)( |$)' || return 1; fi
}
look 'sshd runs one program for @USER@' says 'forcecommand /usr/bin/patchwave-agent ssh'
look 'sshd reads its own key file for @USER@' says 'authorizedkeysfile /etc/ssh/patchwave/authorized_keys'
look 'sshd gives @USER@ no terminal' says 'permittty no'
look 'AllowUsers, AllowGroups, DenyUsers and DenyGroups let @USER@ in' let_in
look 'the account may log in: no /etc/nologin, a shell that is one' sh -c '! test -e /etc/nologin && test -x "$(getent passwd @USER@ | cut -d: -f7)"'
look '@USER@ is no administrator' sh -c 'test "$(id -u @USER@)" != 0 && ! id -Gn @USER@ | grep -qwE "root|sudo|wheel|adm"'
look 'nobody but root may write program, driver and key' only_root_writes
look 'sshd starts with the machine' any_enabled
look 'the agent starts with the machine' systemctl is-enabled patchwave-agent
look 'the agent runs' systemctl is-active patchwave-agent
look 'the firewall lets SSH in' open_to_ssh

echo '6  compare this fingerprint with what `patchwave enroll @NODE@` shows on the controller'
for key in /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key.pub; do
    if [ -f "$key" ]; then ssh-keygen -lf "$key"; fi
done
if [ "$bad" = 0 ]; then echo 'patchwave-setup: complete'; else echo "patchwave-setup: $bad looks failed"; return 1; fi
}
setup
