"""Four Windows nodes and eight Linux nodes in one rollout. The Windows nodes are Wine prefixes in which patchwave-agent.exe is a
service with agent/drivers/hyperv's own manifest; a stand-in for powershell.exe asks the lab's world (lab_powershell.c). sshd, the
controller and the world are those of every lab node. A reboot in the world is a power cut of the prefix. Prints TAP."""
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import wine_prefix

NATIVE = os.path.abspath(os.environ["PW_BUILD_DIR"])
CROSS = os.path.abspath("build/windows-mingw")
PATCHWAVE, HVLAB = NATIVE + "/orchestrator/patchwave", NATIVE + "/examples/lab/hvlab"
AGENT = NATIVE + "/agent/patchwave-agent"
DRIVER = os.path.abspath("agent/drivers/hyperv")
NODES, EVERY, SPEED = 12, 3, int(os.environ.get("MIXED_SPEED", "120"))
DIR = tempfile.mkdtemp(prefix="pw-winlab-", dir="/tmp")
LAB = DIR + "/lab"
os.makedirs("build/windows-wine", exist_ok=True)
PREFIXES = tempfile.mkdtemp(prefix="lab-", dir=os.path.abspath("build/windows-wine"))  # beside the template: hard links
ENV = {**os.environ, "PATCHWAVE_DB": DIR + "/patchwave.db"}
EXE, CONFIG = "C:\\pw\\patchwave-agent.exe", "C:\\pw\\agent.json"
POWERSHELL = "drive_c/windows/system32/WindowsPowerShell/v1.0/powershell.exe"
windows = []
count = bad = 0


def case(title, ok, why=""):
    global count, bad
    count += 1
    bad += not ok
    print(f"{'ok' if ok else 'not ok'} {count} - mixed lab: {title}", flush=True)
    if not ok:
        for line in str(why)[-4000:].splitlines():
            print(f"#   {line}", flush=True)
    return ok


def need(title, ok, why=""):
    if not case(title, ok, why):
        raise SystemExit(1)


def wait_for(condition, limit_s):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.1)
    return condition()


def command(*argv, limit=120):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENV, timeout=limit, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


# --- the bridge: programs under Wine reach the lab's Unix socket by TCP ---


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for s in (source, sink):  # an end of either is the end of both: a killed driver hangs up on the world
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve_bridge(listener, path):
    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(path)
        except OSError:
            near.close()
            continue
        for ends in ((near, far), (far, near)):
            threading.Thread(target=pump, args=ends, daemon=True).start()


def start_bridge(path):
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    threading.Thread(target=serve_bridge, args=(listener, path), daemon=True).start()
    return listener.getsockname()


# --- a Windows node ---


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


def make_driver(folder, bridge):
    """The driver as it is shipped. Only its limits are longer by 20 real seconds: Wine is no faster in a fast fleet."""
    shutil.copytree(DRIVER, folder)
    manifest = json.load(open(folder + "/driver.json", encoding="utf-8"))
    for action in manifest["actions"].values():
        action["limit_ms"] += (SPEED - 1) * 20000
    write(folder + "/driver.json", json.dumps(manifest))
    write(folder + "/bridge.conf", f"{bridge[0]} {bridge[1]}\n")


def make_machine(node, bridge):
    prefix = f"{PREFIXES}/{node}"
    wine_prefix.clone(prefix)
    os.makedirs(prefix + "/drive_c/pw")
    shutil.copy(CROSS + "/agent/patchwave-agent.exe", prefix + "/drive_c/pw")
    make_driver(prefix + "/drive_c/pw/hyperv", bridge)
    os.remove(f"{prefix}/{POWERSHELL}")  # Wine's own is a hard link and prints nothing
    shutil.copy(CROSS + "/tests/windows/lab-powershell.exe", f"{prefix}/{POWERSHELL}")
    conf = json.load(open(f"{LAB}/nodes/{node}/agent.json", encoding="utf-8"))
    conf.update(state_dir="C:\\pw\\state", socket="\\\\.\\pipe\\patchwave", driver="C:\\pw\\hyperv")
    write(prefix + "/drive_c/pw/agent.json", json.dumps(conf))
    wine_prefix.boot(prefix)
    code, out, err = wine_prefix.wine(EXE, "install", "--config", CONFIG, prefix=prefix)
    wine_prefix.power_cut(prefix)
    return code == 0, out + err


def join_lab(node):
    """The lab's keeper starts the machine in the agent's place, sshd's forced command is the agent's `ssh` inside it. Nobody
    enters before it has booted: the first program would boot it, and wait for all that it started."""
    folder, prefix = f"{LAB}/nodes/{node}", f"{PREFIXES}/{node}"
    setting = "".join(f"export {k}='{v}'\n" for k, v in (("WINEPREFIX", prefix), *((k, wine_prefix.ENV[k]) for k in (
        "WINEARCH", "WINEDEBUG", "WINEDLLOVERRIDES")))) + "unset DISPLAY\n"
    write(folder + "/agent", f"#!/bin/sh\n{setting}rm -f {folder}/up\nwineserver -p\n{wine_prefix.WINE} wineboot\n"
          f"echo $$ > {folder}/up.new\nmv {folder}/up.new {folder}/up\nexec wineserver -w\n", 0o755)
    write(folder + "/force.sh", f"#!/bin/sh\n{setting}kill -0 \"$(cat {folder}/up)\" || exit 255\n"
          f"exec {wine_prefix.WINE} '{EXE}' ssh --config '{CONFIG}'\n", 0o755)
    key = open(f"{LAB}/keys/id_ed25519.pub", encoding="utf-8").read()
    write(folder + "/authorized_keys", f"restrict,command=\"{folder}/force.sh\" {key}", 0o600)


def hello(node):
    """What the node's agent says of itself, through its sshd; {} while it does not answer."""
    at = next(n for n in json.load(open(LAB + "/inventory.json", encoding="utf-8"))["nodes"] if n["id"] == node)["ssh"]["address"]
    ask = {"jsonrpc": "2.0", "id": 1, "method": "hello",
           "params": {"protocol": {"min": 1, "max": 1}, "controller": "a" * 32, "program": "test"}}
    try:
        done = subprocess.run(["ssh", "-q", "-T", "-p", "10022", "-i", LAB + "/keys/id_ed25519", "-o", "IdentitiesOnly=yes",
                               "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=" + LAB + "/keys/known_hosts", at, "relay"],
                              input=(json.dumps(ask) + "\n").encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30,
                              check=False)
        return json.loads(done.stdout.splitlines()[0])["result"]
    except (IndexError, KeyError, ValueError, subprocess.TimeoutExpired):
        return {}


def servers(node):
    """(pid, start) of what makes the node: sshd's listener and the agent's service."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read()
            if f"{LAB}/nodes/{node}/sshd_config".encode() in words:
                found["sshd"] = (int(pid), open(f"/proc/{pid}/stat", "rb").read().rsplit(b")", 1)[1].split()[19])
        except OSError:
            pass
    for pid in wine_prefix.processes(f"{PREFIXES}/{node}", "patchwave-agent.exe", "serve"):
        found["agent"] = (pid, open(f"/proc/{pid}/stat", "rb").read().rsplit(b")", 1)[1].split()[19])
    return found


def journal(node):
    if node in windows:
        code, out, _ = wine_prefix.wine(EXE, "journal", "--json", "--config", CONFIG, prefix=f"{PREFIXES}/{node}")
        text = out.decode()
    else:
        code, text = command(AGENT, "journal", "--json", "--config", f"{LAB}/nodes/{node}/agent.json")
    return [json.loads(line) for line in text.splitlines()] if code == 0 else [{"kind": "error", "text": text}]


# --- the story ---


def make_lab():
    code, text = command(HVLAB, "make", "--dir", LAB, "--nodes", str(NODES), "--seed", "5", "--speed", str(SPEED), "--fleet", "mixed",
                         "--agent", AGENT)
    need("a lab of 12 nodes", code == 0, text)
    windows.extend(f"HV{i:02}" for i in range(EVERY, NODES + 1, EVERY))
    write(DIR + "/windows-nodes", "\n".join(windows) + "\n")
    wine_prefix.make_template()
    bridge = start_bridge(LAB + "/driver.sock")
    for node in windows:
        ok, why = make_machine(node, bridge)
        need(f"{node} is a Wine machine with the agent as its service", ok, why)
        join_lab(node)


def start_lab():
    # it ends with this program, however that ends
    lab = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", HVLAB, "serve", "--dir", LAB, "--processes"], stdout=open(DIR + "/lab.log", "wb"), stderr=subprocess.STDOUT)
    code, text = command(HVLAB, "wait", "--dir", LAB, limit=240)
    need("every node's sshd answers", code == 0, text)
    return lab


def await_windows():
    first = {node: wait_for(lambda n=node: hello(n), 120) for node in windows}
    need("the service in each prefix has started by itself and answers hello through sshd",
         all(h.get("os") == "windows" and h.get("node") == n for n, h in first.items()), first)
    return first


def operate():
    package = DIR + "/windows11.0-kb5061977-x64.msu"
    write(package, "p" * 1048576)
    # A real second is minutes of the lab: what travels over real SSH, or is answered under Wine, may be that old.
    watch = {"interval": "4m", "soak": "8m", "max_age": "30m"}
    gates = [{"name": name, "type": kind, "scope": scope, "when": when, "on_fail": "halt", **watch} for name, kind, scope, when in (
        ("time", "time_sync", "node", "both"), ("backup", "backup_agent", "node", "both"), ("cluster", "cluster_health", "cluster", "both"),
        ("heartbeat", "vm_heartbeat", "node", "after"))]
    policy = {"planner_may_approve": True, "deviations_max": 500, "moves_per_vm": 4, "unreachable": "120m", "fresh": "20m", "rehearse": False}
    write(DIR + "/rollout.json", json.dumps({"version": 1, "name": "mixed", "patch": {"kb": "KB5061977"}, "waves": [4, "100%"], "gates": gates,
                                             "policy": policy}))
    steps = [("init",), ("inventory", "import", LAB + "/inventory.json"), ("enroll", "--all", "--accept-new"),
             ("patch", "add", package, "--kb", "KB5061977", "--target", "26100.4066")]
    steps += [("consent", "add", vm, "--method", method, "--ticket", "CHG-WINE") for vm, method in map(str.split, open(LAB + "/consents"))]
    for words in steps:
        code, text = command(PATCHWAVE, *words)
        if code != 0:
            need("patchwave " + " ".join(words), False, text)
    code, text = command(PATCHWAVE, "plan", DIR + "/rollout.json", "--out", DIR + "/plan.json")
    need("planned", code in (0, 10), text)
    code, text = command(PATCHWAVE, "approve", "mixed", "--ticket", "CHG-WINE")
    need("approved", code == 0, text)
    code, text = command(PATCHWAVE, "run", "mixed", "--on-hold", "exit", limit=480)
    need("the run ends with every node done", code == 0, text)


def check_truth():
    code, text = command(HVLAB, "truth", "--dir", LAB, "--json")
    write(DIR + "/truth.json", text)
    truth = json.loads(text)
    wrong = [n for n in truth["nodes"] if n["ubr"] != 4066 or n["paused"] or not n["on"] or not n["vmms"]]
    case("every node has the new build and is in service, and nothing was harmed", not wrong and not truth["damage"],
         (wrong, truth["damage"]))
    code, text = command("python3", "tests/live/ledger_truth.py", ENV["PATCHWAVE_DB"], DIR + "/truth.json")
    case("the ledger equals the truth, VM by VM", code == 0, text)
    print(text, end="", flush=True)
    rows = [r for r in truth["downtime"] if r["subject"] == "vm" and not r["foreign"]]
    print("# outages of VMs by the node they were on:", sum(r["node"] in windows for r in rows), "Windows,",
          sum(r["node"] not in windows for r in rows), "Linux")
    case("VMs left both kinds of nodes", all(any((r["node"] in windows) == kind for r in rows) for kind in (True, False)), rows)
    return {n["id"]: n for n in truth["nodes"]}


def check_journals():
    db = sqlite3.connect(f"file:{ENV['PATCHWAVE_DB']}?mode=ro", uri=True)
    wrong, ops = [], {True: 0, False: 0}
    for node in (f"HV{i:02}" for i in range(1, NODES + 1)):
        records = journal(node)
        did = {r["op"]: r["body"]["outcome"] for r in records if r["kind"] == "done"}
        starts = [r["op"] for r in records if r["kind"] == "start"]
        told = dict(db.execute("SELECT op, outcome FROM steps WHERE node = ? AND state = 'done'", (node,)))
        ops[node in windows] += len(did)
        if did != told or len(starts) != len(set(starts)) or not did:
            wrong.append((node, sorted(set(did.items()) ^ set(told.items())), [op for op in starts if starts.count(op) > 1], records[-1:]))
    case("each agent's journal and the controller's record hold the same ops and outcomes, none begun twice", not wrong, wrong)
    print(f"# ops in journals: {ops[True]} on Windows nodes, {ops[False]} on Linux nodes")


def check_reboots(first, before):
    for node in windows:
        again, after = wait_for(lambda n=node: hello(n), 60), servers(node)
        boots = [r["boot_id"] for r in journal(node) if r["kind"] == "boot"]
        case(f"{node}'s reboot ended its sshd and its service and brought both back with a new boot id",
             again.get("boot_id") not in (None, first[node]["boot_id"]) and again["machine_id"] == first[node]["machine_id"] and
             boots[-1:] == [again["boot_id"]] and first[node]["boot_id"] in boots and
             set(before[node]) == {"sshd", "agent"} and all(after.get(k) not in (None, v) for k, v in before[node].items()),
             (first[node], again, before[node], after, boots))


def show_comparison_fails():
    shutil.copy(ENV["PATCHWAVE_DB"], DIR + "/altered.db")
    db = sqlite3.connect(DIR + "/altered.db")
    db.execute("UPDATE downtime SET end_at = end_at + 300 WHERE rowid = (SELECT max(rowid) FROM downtime WHERE subject = 'vm' "
               "AND end_at > start_at)")
    db.commit()
    db.close()
    code, text = command("python3", "tests/live/ledger_truth.py", DIR + "/altered.db", DIR + "/truth.json")
    case("a row that is 0.3 s longer is found", code == 1 and "not in the truth" in text, text)


def end_lab(lab):
    lab.send_signal(signal.SIGTERM)
    lab.wait(timeout=60)
    left = [p for n in windows for p in wine_prefix.processes(f"{PREFIXES}/{n}")]
    code, text = command("pgrep", "-f", "--", LAB + "/")
    case("no process of the lab is left, in the prefixes or outside", not left and code == 1, (left, text))


def main():
    lab = None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        make_lab()
        lab = start_lab()
        first = await_windows()
        before = {node: servers(node) for node in windows}
        operate()
        check_truth()
        show_comparison_fails()
        check_journals()
        check_reboots(first, before)
        end_lab(lab)
    except (SystemExit, OSError, ValueError, KeyError, subprocess.SubprocessError) as why:
        case("the story is told to its end", False, repr(why))
    finally:
        if lab is not None and lab.poll() is None:
            lab.terminate()
            lab.wait(timeout=60)
        for node in windows:
            wine_prefix.end_left(f"{PREFIXES}/{node}")
        if "MIXED_KEEP" not in os.environ:
            shutil.rmtree(PREFIXES, ignore_errors=True)
            shutil.rmtree(DIR, ignore_errors=True)
    print(f"1..{count}")
    return 1 if bad else 0


sys.exit(main())
