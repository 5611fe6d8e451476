#!/usr/bin/env python3
"""The set-up of a Windows node (`patchwave enroll --bootstrap`), run whole in the genuine engine: accounts, services and firewall are stand-ins
with the parameters of the references, sshd is this machine's own, which reads the configuration that is written. TAP. suite_setup.py PSHOST.DLL"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import setup_programs
from pshost_client import Host
from suite_world import service, world

HERE = pathlib.Path(__file__).resolve().parent
PATCHWAVE = pathlib.Path(os.environ.get("PW_BUILD_DIR", HERE.parent.parent / "build/debug")) / "orchestrator/patchwave"
ADMINISTRATORS, USERS = "S-1-5-32-544", "S-1-5-32-545"
# As Windows Server 2025 ships it, in short.
SHIPPED = 'AuthorizedKeysFile\t.ssh/authorized_keys\r\nAllowGroups administrators "openssh users"\r\nSubsystem\tsftp\tsftp-server.exe\r\n\r\n' \
          'Match Group administrators\r\n       AuthorizedKeysFile __PROGRAMDATA__/ssh/administrators_authorized_keys\r\n'
RIGHTS = "SeNetworkLogonRight = *S-1-1-0,*S-1-5-32-544\r\nSeDenyNetworkLogonRight = Guest\r\n"
CASES = []


def case(name):
    def keep(f):
        CASES.append((name, f))
        return f
    return keep


def check(truth, what):
    if not truth:
        raise AssertionError(what)


class Machine:
    """One Windows server before its set-up. What it is made of lies in `root`."""
    host = None
    root = None

    def __init__(self, config=SHIPPED, rights=RIGHTS, **more):
        for place in ("ProgramFiles", "data/patchwave", "data/ssh"):
            shutil.rmtree(self.root / place, ignore_errors=True)
        for file in [*self.root.glob("data/*.acl"), self.root / "agent.log", self.root / "open-ops"]:
            file.unlink(missing_ok=True)
        self.ssh.mkdir()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.ssh / "ssh_host_ed25519_key"], check=True)
        self.config.write_text(config, newline="")
        (self.root / "rights.txt").write_text(rights)
        (self.root / "ProgramFiles").mkdir()
        (self.root / "ProgramFiles.acl").write_text("O:BA\n(A;OICI;FA;;;SY)\n(A;OICI;FA;;;BA)\n(A;OICI;0x1200a9;;;BU)\n")
        self.w = world()
        node = self.w["nodes"][0]
        node["services"] += [service("sshd", 1, 3), {**service("patchwave-agent", 1, 2), "absent": True}]
        node.update(users=[], firewall={"enabled": "True", "profile": "Private"}, networks_in_use=["DomainAuthenticated"],
                    local_groups=[{"name": "Administratoren", "sid": ADMINISTRATORS, "members": []}, {"name": "OpenSSH Users", "sid": "S-1-5-32-585", "members": []}])
        node.update(more)

    ssh = property(lambda self: self.root / "data/ssh")
    config = property(lambda self: self.ssh / "sshd_config")
    data = property(lambda self: self.root / "data/patchwave")
    program = property(lambda self: self.root / "ProgramFiles/patchwave")

    def run(self, again=False):
        """(code, what it wrote)"""
        if not again:
            self.host.world("w", self.w)
        f = self.host.run(self.root / "files/setup.ps1", "HV01", "mini:w", b"")
        self.w = self.host.state("w")
        self.said = f.get("O", "") + f.get("E", "")
        return f["X"], self.said

    def node(self):
        return self.w["nodes"][0]

    def service(self, name):
        return next(s for s in self.node()["services"] if s["name"] == name)

    def did(self):
        return [line.split(" ", 2)[1:] for line in self.w.get("log", [])]

    def effective(self, user):
        """What this machine's sshd reads out of the configuration for a user."""
        r = subprocess.run([setup_programs.SSHD, "-T", "-f", self.config, "-h", self.ssh / "ssh_host_ed25519_key", "-C", "user=%s,host=x,addr=127.0.0.1" % user],
                           capture_output=True, text=True, check=True)
        return dict(line.split(" ", 1) for line in r.stdout.splitlines())

    def complete(self, again=False):
        code, said = self.run(again)
        check(code == 0 and said.rstrip().endswith("patchwave-setup: complete"), said)
        check(said.count("\nok    ") == LOOKS and "\nNOT " not in said, said)
        return self

    def stops(self, want):
        code, said = self.run()
        check(code == 1 and want in said and "patchwave-setup" not in said, "%s: %d %s" % (want, code, said))
        return self


def rights(path):
    return setup_programs.rights_of(path)[1]


def make_script(root):
    """The text as it is printed, with the places of this test in the place of Windows' own."""
    (root / "key.pub").write_text("ssh-ed25519 AAAAtest me\n")
    text = subprocess.run([PATCHWAVE, "enroll", "--bootstrap", "HV01", "--key", root / "key.pub"], capture_output=True, text=True, check=True).stdout
    text = text.replace("C:\\Program Files\\patchwave", str(root / "ProgramFiles/patchwave")).replace("patchwave\\patchwave-agent.exe", "patchwave/patchwave-agent.exe")
    text = text.replace("$env:SystemRoot", "'%s'" % (root / "win")).replace("$env:ProgramData", "'%s'" % (root / "data"))
    (root / "files/setup.ps1").write_text(text)
    return len(re.findall(r"^Show-Look ", text, re.M))


@case("a server as it is shipped: account, closed folders, service, key, sshd and firewall are set up, and every look is good")
def _():
    m = Machine().complete()
    user, = m.node()["users"]
    check(user["name"] == "patchwave" and m.node()["local_groups"][1]["members"] == [user["sid"]] and m.node()["local_groups"][0]["members"] == [], "the account")
    settings = json.loads((m.data / "agent.json").read_text())
    check(settings["node"] == "HV01" and settings["socket_group"] == user["sid"] and settings["socket"] == "\\\\.\\pipe\\patchwave-agent", settings)
    check(rights(m.data) == ["O:BA", "(A;OICI;FA;;;BA)", "(A;OICI;FA;;;SY)", "(A;OICI;0x1200a9;;;%s)" % user["sid"]], rights(m.data))
    keys = m.ssh / "patchwave_authorized_keys"
    check(rights(keys) == ["O:BA", "(A;;FA;;;BA)", "(A;;FA;;;SY)"] and keys.read_text() == "restrict ssh-ed25519 AAAAtest me\n", "the key file")
    check((m.program / "drivers/hyperv/driver.json").exists() and (m.root / "agent.log").read_text() == "install --config %s/agent.json\n" % m.data, "the agent")
    check((m.service("sshd")["state"], m.service("sshd")["start"], m.service("patchwave-agent")["state"]) == (4, 2, 4), "services")
    check(m.node()["firewall"] == {"enabled": "True", "profile": "Domain, Private"}, m.node()["firewall"])
    check([d[0] for d in m.did()[-2:]] == ["stop_service", "start_service"] and all("sshd" in d[1] for d in m.did()[-2:]), "sshd reads its configuration at the end")


@case("this machine's sshd reads the configuration: one program, a key file, no password, no terminal for the account, and nothing for others")
def _():
    m = Machine().complete()
    ours, others = m.effective("patchwave"), m.effective("somebody")
    check(ours["forcecommand"] == '"%s/patchwave-agent.exe" ssh' % m.program and ours["authorizedkeysfile"].endswith("/patchwave_authorized_keys"), ours)
    check((ours["passwordauthentication"], ours["permittty"], ours["allowtcpforwarding"]) == ("no", "no", "no"), ours)
    check(others["forcecommand"] == "none" and others["authorizedkeysfile"] == ".ssh/authorized_keys" and others["passwordauthentication"] == "yes", others)
    text = m.config.read_text()
    check(text.index("Match User patchwave") < text.index("Match Group administrators"), "above the administrators' block")
    check((m.ssh / "sshd_config.before-patchwave").read_bytes() == SHIPPED.encode(), "what was there is kept")


@case("a second time it changes nothing, and is complete again")
def _():
    m = Machine().complete()
    before, users = m.config.read_bytes(), m.node()["users"]
    m.complete(again=True)
    check(m.config.read_bytes() == before and m.node()["users"] == users and m.node()["local_groups"][1]["members"] == [users[0]["sid"]], "twice")
    check((m.root / "agent.log").read_text().count("journal --open") == 1, "the second time it asks the agent that is there")


@case("an sshd_config without a Match block, and one with our block of an earlier set-up, end with ours once")
def _():
    plain = SHIPPED[:SHIPPED.index("\r\nMatch Group")]
    m = Machine(config=plain).complete()
    check(m.effective("patchwave")["forcecommand"] != "none" and m.config.read_text().startswith(plain.replace("\r\n", "\n").rstrip()), "at the end")
    old = "# patchwave: begin\r\nMatch User patchwave\r\n    ForceCommand old\r\n# patchwave: end\r\n\r\n"
    m = Machine(config=plain + old + SHIPPED[SHIPPED.index("Match Group"):]).complete()
    check(m.config.read_text().count("Match User patchwave") == 1 and "ForceCommand old" not in m.config.read_text(), "replaced")


@case("an agent with open operations is not stopped and nothing is changed")
def _():
    m = Machine()
    m.service("patchwave-agent").update(absent=False, state=4)
    (m.program).mkdir(parents=True)
    shutil.copy(m.root / "files/patchwave-agent.exe", m.program)
    (m.root / "open-ops").write_text("r1/HV01/1/install/1  started\n")
    m.stops("open operations; it ends them first: r1/HV01/1/install/1")
    check(m.did() == [] and m.config.read_text() == SHIPPED.replace("\r\n", "\n") and not m.data.exists(), m.did())


@case("a configuration folder that somebody else made is not believed: no configuration, no service")
def _():
    m = Machine()
    m.data.mkdir()
    (m.root / "data/patchwave.acl").write_text("O:S-1-5-21-1-2-3-1099\n(A;OICI;FA;;;S-1-5-21-1-2-3-1099)\n")
    m.stops("belongs to S-1-5-21-1-2-3-1099, not to the administrators")
    check(not (m.data / "agent.json").exists() and m.service("patchwave-agent")["absent"], "nothing is put in")


@case("a configuration that sshd does not accept is put back, byte for byte")
def _():
    m = Machine(config="NoSuchKeyword yes\r\n" + SHIPPED).stops("sshd does not accept the configuration: it is as it was before")
    check(m.config.read_bytes() == ("NoSuchKeyword yes\r\n" + SHIPPED).encode(), "as it was")


@case("a program that ends badly ends the set-up")
def _():
    icacls = m = Machine().root / "path/icacls.exe"
    text = icacls.read_text()
    try:
        icacls.write_text("#!/bin/sh\nexit 5\n")
        m = Machine().stops("icacls /setowner ended with 5")
    finally:
        icacls.write_text(text)
    check(m.service("patchwave-agent")["absent"], "no service")


@case("a group with an account that is gone, which no command can list, ends nothing")
def _():
    m = Machine()
    m.node()["local_groups"].append({"name": "Backup Operators", "sid": "S-1-5-32-551", "members": [], "broken": True})
    m.complete()


@case("each look that fails is named, and the set-up is not called complete")
def _():
    allow = SHIPPED.replace('administrators "openssh users"', "administrators")

    def admin(m):
        m.node()["users"].append({"name": "patchwave", "sid": "S-1-5-21-1-2-3-1001"})
        m.node()["local_groups"][0]["members"].append("S-1-5-21-1-2-3-1001")
    rows = [
        ("the account may log on over the network", {"rights": "SeNetworkLogonRight = *S-1-5-32-544\r\n"}, None),
        ("the account may log on over the network", {"rights": ""}, None),
        ("nothing denies it", {"rights": "SeNetworkLogonRight = *S-1-1-0\r\nSeDenyNetworkLogonRight = *S-1-5-113,*S-1-5-114\r\n"}, None),
        ("AllowGroups and AllowUsers", {"config": allow}, None),
        ("AllowGroups and AllowUsers", {"config": "AllowUsers root\r\n" + SHIPPED}, None),
        ("DenyGroups and DenyUsers", {"config": 'DenyGroups "openssh *"\r\n' + SHIPPED}, None),
        ("DenyGroups and DenyUsers", {"config": "DenyUsers patch????\r\n" + SHIPPED}, None),
        ("it is no administrator", {}, admin),
        ("the shell of sshd", {"default_shell": "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"}, None),
        ("the firewall rule covers", {"networks_in_use": ["DomainAuthenticated", "Public"]}, None),
        ("no user may write the program", {}, lambda m: (m.root / "ProgramFiles.acl").write_text("O:BA\n(A;OICI;FA;;;BA)\n(A;OICI;0x1301bf;;;BU)\n")),
    ]
    for want, how, change in rows:
        m = Machine(**how)
        if change:
            change(m)
        code, said = m.run()
        bad = [line for line in said.splitlines() if line.startswith("NOT ")]
        check(code == 0 and len(bad) == 1 and want in bad[0] and said.rstrip().endswith("patchwave-setup: 1 looks failed"), "%s %s: %s" % (want, how, said))


@case("a group that was renamed or is missing is no fault of its own; a wider firewall rule stays as wide")
def _():
    m = Machine(config=SHIPPED.replace(' "openssh users"', "").replace("AllowGroups administrators\r\n", ""), firewall={"enabled": "False", "profile": "Any"},
                networks_in_use=["Public"], local_groups=[{"name": "Administratoren", "sid": ADMINISTRATORS, "members": []}])
    m.complete()
    check(m.node()["firewall"] == {"enabled": "True", "profile": "Any"}, m.node()["firewall"])


def main():
    global LOOKS
    bad = 0
    print("1..%d" % len(CASES), flush=True)
    with tempfile.TemporaryDirectory(prefix="pw-setup-") as d:
        root = Machine.root = pathlib.Path(d)
        setup_programs.make(root)
        (root / "data").mkdir()
        services = len(world()["nodes"][0]["services"])
        os.environ.update(PATH="%s:%s" % (root / "path", os.environ["PATH"]), SETUP_SOCKET=str(root / "pshost.sock"), SETUP_ROOT=d,
                          SETUP_PROGRAMDATA=str(root / "data"), SETUP_RIGHTS=str(root / "rights.txt"), SETUP_SERVICE=str(services + 1))
        LOOKS = make_script(root)
        Machine.host = Host(sys.argv[1], str(HERE / "surface"), os.environ["SETUP_SOCKET"])
        try:
            for i, (name, f) in enumerate(CASES, 1):
                try:
                    f()
                    print("ok %d - set-up: %s" % (i, name), flush=True)
                except (AssertionError, KeyError, ValueError, StopIteration, subprocess.CalledProcessError, OSError) as e:
                    bad += 1
                    print("not ok %d - set-up: %s\n# %s: %s" % (i, name, type(e).__name__, str(e)[:3000].replace("\n", "\n# ")), flush=True)
        finally:
            Machine.host.close()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
