#!/usr/bin/env python3
"""Kill points with real processes: the controller dies at named places, agents and SSH connections in named phases; each time
`patchwave resume` goes on. Ground truth at the end: every node patched and back, each serviced and rebooted once in the lab's own
books, no op started twice in any agent's journal. Prints TAP, and how often each node phase was hit.

    kill_points.py BUILD_DIR [SCENARIO ...]
"""
import collections
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1])
PATCHWAVE, HVLAB, AGENT = (f"{BUILD}/{p}" for p in ("orchestrator/patchwave", "examples/lab/hvlab", "agent/patchwave-agent"))
LIMIT_S = 240  # of one process; generous, never an assertion about speed
PHASES = ["checking", "staging", "draining", "storage_out", "stopping_vmms", "installing", "rebooting", "verifying", "starting_vmms",
          "storage_in", "resuming", "settling"]
# "controller POSITION:WHAT[:N]", "agent PHASE" (kill -9 of that node's agent), "cut PHASE" (its SSH connections)
SCENARIOS = {
    "drain": ["controller append_before:run_start", "controller append_after:run_start", "controller append_before:node_claimed:2",
              "controller append_after:phase/checking",
              "controller append_after:staged:2", "controller append_before:start/pause", "controller append_after:start/pause",
              "controller submit_after:start/move_vm:2", "controller append_before:result/move_vm", "controller append_after:result/move_vm:2",
              "controller append_after:start/move_groups", "agent draining", "cut draining"],
    "effect": ["controller append_after:start/storage_out", "controller submit_after:start/storage_out",
               "controller submit_after:start/stop_vmms", "controller append_before:start/install",
               "controller append_after:start/install", "controller submit_after:start/install", "agent installing", "cut installing",
               "controller append_before:result/install", "controller append_after:start/reboot", "controller submit_after:start/reboot"],
    "home": ["controller append_before:node_lost", "controller append_after:node_lost", "controller submit_after:start/start_vmms",
             "controller append_before:result/start_vmms", "controller append_after:start/storage_in",
             "controller append_before:result/storage_in", "controller append_after:start/resume", "controller append_before:result/resume",
             "agent verifying", "agent settling", "controller append_after:timeout:3"],
}
case, failed, hits = 0, 0, collections.Counter()


def say(ok, title, detail=""):
    global case, failed
    case += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {case} - {title}", flush=True)
    if not ok:
        print("\n".join("#   " + line for line in str(detail).splitlines()[-25:]), flush=True)


def tell(db, sql):
    try:
        with sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=10) as c:
            return c.execute(sql).fetchall()
    except sqlite3.Error:
        return []


class Lab:
    def __init__(self, seed):
        self.dir = tempfile.mkdtemp(prefix="pw-kill-")
        self.db = f"{self.dir}/patchwave.db"
        self.env = dict(os.environ, PATCHWAVE_DB=self.db)
        self.env.pop("SUDO_USER", None)
        self.must(HVLAB, "make", "--dir", f"{self.dir}/lab", "--nodes", "4", "--seed", str(seed), "--speed", "360", "--agent", AGENT)
        self.daemon = subprocess.Popen([HVLAB, "serve", "--dir", f"{self.dir}/lab", "--processes"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        self.must(HVLAB, "wait", "--dir", f"{self.dir}/lab")
        inventory = json.load(open(f"{self.dir}/lab/inventory.json"))
        self.nodes, self.clusters = ([x["id"] for x in inventory[kind]] for kind in ("nodes", "clusters"))
        with open(f"{self.dir}/windows11.0-kb5061977-x64.msu", "wb") as f:
            f.write(b"p" * 65536)
        watch = {"interval": "4m", "soak": "4m", "max_age": "40m", "on_fail": "halt", "when": "both"}
        json.dump({"version": 1, "name": "kill", "patch": {"kb": "KB5061977"}, "waves": [2, "100%"],
                   "gates": [{"name": "cluster", "type": "cluster_health", "scope": "cluster", **watch}],
                   # Whether the balancer leaves room for one more loss is not what is tested here.
                   "waivers": [{"what": "reserve_none", "cluster": c, "person": "test", "ticket": "CHG-1"} for c in self.clusters],
                   "policy": {"reserve_min": "none", "planner_may_approve": True, "deviations_max": 500, "moves_per_vm": 6, "unreachable": "10h", "fresh": "15m",
                              "timeout_factor": 10}},
                  open(f"{self.dir}/rollout.json", "w"))
        for words in (["init"], ["inventory", "import", "lab/inventory.json"], ["enroll", "--all", "--accept-new"],
                      ["patch", "add", "windows11.0-kb5061977-x64.msu", "--target", "26100.4066"], ["plan", "rollout.json"],
                      ["approve", "--ticket", "CHG-1"]):
            self.must(PATCHWAVE, *words)

    def must(self, *words):
        done = subprocess.run(words, cwd=self.dir, env=self.env, capture_output=True, text=True, timeout=LIMIT_S)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def controller(self, kill_at=None):
        env = dict(self.env, **({"PATCHWAVE_KILL_AT": kill_at} if kill_at else {}))
        begun = bool(tell(self.db, "SELECT 1 FROM runs"))
        self.log = open(f"{self.dir}/controller.log", "ab")
        return subprocess.Popen([PATCHWAVE, "resume" if begun else "run", "--on-hold", "exit"], cwd=self.dir, env=env, stdout=self.log,
                                stderr=self.log, stdin=subprocess.DEVNULL)

    def in_phase(self, phase):
        return [n for n, in tell(self.db, f"SELECT node FROM run_nodes WHERE phase = '{phase}'")]

    def count_phases(self):
        for phase, in tell(self.db, "SELECT phase FROM run_nodes"):
            hits[phase] += 1

    def tail(self):
        return open(f"{self.dir}/controller.log", errors="replace").read()

    def pids(self, needle):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open(f"/proc/{pid}/cmdline", "rb").read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(needle in w for w in words):
                found.append((int(pid), words))
        return found

    def end(self):
        self.daemon.terminate()
        self.daemon.wait(30)
        if os.environ.get("PW_KEEP") is None:
            subprocess.run(["rm", "-rf", self.dir], check=False)


def sessions_of(lab, node):
    """sshd's children for that node: everything below the daemon whose command line names the node's configuration."""
    parents = {pid for pid, words in lab.pids(f"/{node}/sshd_config")}
    return [int(p) for p in filter(str.isdigit, os.listdir("/proc")) if parent(int(p)) in parents]


def parent(pid):
    try:
        return int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def wait_phase(lab, process, phase):
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        nodes = lab.in_phase(phase)
        if nodes:
            return nodes[0]
        time.sleep(0.02)
    return None


def disturb(lab, process, what, phase):
    node = wait_phase(lab, process, phase)
    if node is None:
        return False
    lab.count_phases()
    kill_all([pid for pid, words in lab.pids(f"/{node}/agent.json") if "serve" in words] if what == "agent" else sessions_of(lab, node))
    return True


def one_kill(lab, point):
    who, where = point.split(" ", 1)
    process = lab.controller(where if who == "controller" else None)
    if who != "controller":
        ok = disturb(lab, process, who, where)
        time.sleep(1)
        process.kill()
        process.wait(30)
        say(ok, f"{point}: reached", lab.tail())
        return
    try:
        code = process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait(30)
    lab.count_phases()
    say(code == -signal.SIGKILL, f"{point}: reached", f"exit code {code}\n{lab.tail()}")


def check_journal(lab, node):
    text = lab.must(AGENT, "journal", "--json", "--config", f"{lab.dir}/lab/nodes/{node}/agent.json")
    starts, undone = collections.Counter(), collections.Counter()
    for line in text.splitlines():
        r = json.loads(line)
        starts[r["op"]] += r["kind"] == "start"
        undone[r["op"]] += r["kind"] == "witness" and "not_done" in json.dumps(r)
    twice = [op for op, n in starts.items() if n > 1 + undone[op]]
    say(not twice, f"{node}: no op was started twice", twice)


def scenario(name, points, seed):
    lab = Lab(seed)
    try:
        for point in points:
            one_kill(lab, point)
        process = lab.controller()
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = "none in time"
        say(code == 0, f"{name}: resumed to the end, every node done", f"exit code {code}\n{lab.tail()}")
        truth = json.loads(lab.must(HVLAB, "truth", "--dir", f"{lab.dir}/lab", "--json"))
        for n in truth["nodes"]:
            # A second reboot may be due (the lab draws it): then it is an op of its own in the log.
            reboots = len(tell(lab.db, f"SELECT 1 FROM steps WHERE node = '{n['id']}' AND action = 'reboot' AND outcome = 'ok'"))
            installs = len(tell(lab.db, f"SELECT 1 FROM steps WHERE node = '{n['id']}' AND action = 'install' AND outcome = 'ok'"))
            # The lab's books count an install, and its finishing after each boot.
            say((n["ubr"], n["boots"], n["servicings"], installs, n["paused"], n["on"]) == (4066, reboots, 1 + reboots, 1, False, True),
                f"{name}: {n['id']} was serviced once, booted as often as the log says, and is back", [n, reboots, installs])
        crashes = [r for r in truth["downtime"] if r["cause"] != "blackout" and r["subject"] == "vm"]
        say(not crashes and not truth["damage"], f"{name}: no VM lost service", [crashes, truth["damage"]])
        for node in lab.nodes:
            check_journal(lab, node)
        say("every command is the same again" in lab.must(PATCHWAVE, "replay"), f"{name}: the whole log replays")
    finally:
        lab.end()


chosen = sys.argv[2:] or list(SCENARIOS)
for seed, name in enumerate(SCENARIOS):
    if name in chosen:
        try:
            scenario(name, SCENARIOS[name], 11 + seed)
        except (RuntimeError, OSError, subprocess.TimeoutExpired, ValueError, KeyError) as e:
            say(False, f"{name}: could be played", e)
print("# hits per node phase: " + ", ".join(f"{p} {hits[p]}" for p in PHASES))
if chosen == list(SCENARIOS):
    for p in PHASES:
        say(hits[p] > 0, f"phase {p} was hit")
print(f"1..{case}")
sys.exit(failed > 0)
