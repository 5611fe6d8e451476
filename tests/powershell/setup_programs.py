"""The programs that the set-up of a node calls, for the suite: setup_programs.py FOLDER makes them there (icacls.exe and secedit.exe for
the search path, System32/OpenSSH and the agent by their places). sshd and ssh-keygen are this machine's own."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

SSHD = "/usr/sbin/sshd"


def patch(path, value):
    """One value of the stand-ins' world, as PATCH of pshost takes it."""
    body = json.dumps(value).encode()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.environ["SETUP_SOCKET"])
        s.sendall(("PATCH\tw\t%s\t%d\n" % (path, len(body))).encode() + body)
        s.recv(1)


def rights_of(path):
    file = pathlib.Path(str(path) + ".acl")
    return file, file.read_text().splitlines() if file.exists() else ["O:S-1-5-21-1-2-3-500"]


def icacls(argv):
    """Rights beside the file, as Get-Acl of the stand-ins reads them. What it is not asked for in exactly these words is an error."""
    letters = {"*S-1-5-32-544": "BA", "*S-1-5-18": "SY"}
    file, lines = rights_of(argv[0])
    words = argv[1:]
    if not pathlib.Path(argv[0]).exists() or words[-1] != "/q":
        return 2
    words = words[:-1]
    if words[:1] == ["/setowner"] and len(words) == 2:
        lines[0] = "O:" + letters[words[1]]
    elif words[:2] == ["/inheritance:r", "/grant:r"] and len(words) > 2:
        rules = []
        for w in words[2:]:
            who, how = w.split(":", 1)
            inherit, what = ("OICI", how[8:]) if how.startswith("(OI)(CI)") else ("", how)
            rules.append("(A;%s;%s;;;%s)" % (inherit, {"F": "FA", "RX": "0x1200a9"}[what], letters.get(who, who.lstrip("*"))))
        lines = lines[:1] + rules
    else:
        return 87
    file.write_text("\n".join(lines) + "\n")
    return 0


def secedit(argv):
    if argv[:3] != ["/export", "/areas", "USER_RIGHTS"] or argv[3] != "/cfg" or argv[5:] != ["/quiet"]:
        return 87
    text = open(os.environ["SETUP_RIGHTS"]).read() if os.path.exists(os.environ.get("SETUP_RIGHTS", "")) else ""
    pathlib.Path(argv[4]).write_bytes(("[Privilege Rights]\r\n" + text).encode("utf-16"))
    return 0


def agent(argv):
    root = pathlib.Path(os.environ["SETUP_ROOT"])
    with open(root / "agent.log", "a") as f:
        f.write(" ".join(argv) + "\n")
    if argv[0] == "journal":
        sys.stdout.write((root / "open-ops").read_text() if (root / "open-ops").exists() else "")
        return 0
    if argv[0] != "install" or not json.load(open(argv[2]))["socket_group"].startswith("S-1-5-21-"):
        return 2
    n = int(os.environ["SETUP_SERVICE"])
    patch("nodes/0/services/%d/absent" % n, False)
    return 0


def openssh(name, argv):
    ssh = pathlib.Path(os.environ["SETUP_PROGRAMDATA"]) / "ssh"
    if name == "ssh-keygen.exe":
        return subprocess.run(["ssh-keygen", *argv], check=False).returncode
    # The words of Windows that another machine's sshd does not know stand in quotes and names, which it does not open here.
    return subprocess.run([SSHD, *argv, "-f", ssh / "sshd_config", "-h", ssh / "ssh_host_ed25519_key"], check=False).returncode


def make(folder):
    """The programs, each a call of this file under its own name."""
    folder = pathlib.Path(folder)
    for place in ("path/icacls.exe", "path/secedit.exe", "win/System32/OpenSSH/sshd.exe", "win/System32/OpenSSH/ssh-keygen.exe", "files/patchwave-agent.exe"):
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('#!/bin/sh\nexec python3 "%s" --as %s "$@"\n' % (os.path.abspath(__file__), file.name))
        file.chmod(0o755)
    shutil.copytree(pathlib.Path(__file__).resolve().parent.parent.parent / "agent/drivers/hyperv", folder / "files/drivers/hyperv")


if __name__ == "__main__":
    if sys.argv[1] != "--as":
        make(sys.argv[1])
        sys.exit(0)
    NAME, REST = sys.argv[2], sys.argv[3:]
    sys.exit(icacls(REST) if NAME == "icacls.exe" else secedit(REST) if NAME == "secedit.exe" else agent(REST) if NAME == "patchwave-agent.exe" else openssh(NAME, REST))
