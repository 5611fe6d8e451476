"""What the torture suites stand on: a lab with real sshd and agents, the controller over it, and the means to disturb both.

A Bed has a folder of its own; the database may lie on a small file system of its own (root only), so that it can be filled. With
`proxies` each node is reached through a process of tests/lib/fault_proxy_main.c, which cuts, delays, freezes and slows connections.
"""
import collections
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

LIMIT_S = 900  # of one process; generous, never an assertion about speed
PHASES = ["checking", "staging", "draining", "storage_out", "stopping_vmms", "installing", "rebooting", "verifying", "starting_vmms",
          "storage_in", "resuming", "settling"]
PROXY_SHIFT = 100  # node n of the lab's net is 2 + n, its proxy 102 + n


class Programs:
    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.patchwave = f"{self.build}/orchestrator/patchwave"
        self.hvlab = f"{self.build}/examples/lab/hvlab"
        self.agent = f"{self.build}/agent/patchwave-agent"
        self.proxy = f"{self.build}/tests/lib/fault_proxy"


def ask(db, sql, *words):
    """Rows, or none when the database cannot be read just now."""
    try:
        c = sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=10)
        try:
            return c.execute(sql, words).fetchall()
        finally:
            c.close()
    except sqlite3.Error:
        return []


def processes(needle):
    """(pid, words) of each process with that text in one of its words."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(needle in w for w in words):
            found.append((int(pid), words))
    return found


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def signal_all(pids, sig=signal.SIGKILL):
    """How many were there."""
    hit = 0
    for pid in pids:
        try:
            os.kill(pid, sig)
            hit += 1
        except ProcessLookupError:
            pass
    return hit


class Proxy:
    """One node's way in; see tests/lib/fault_proxy_main.c for the words."""

    def __init__(self, programs, listen, to, port):
        self.process = subprocess.Popen([programs.proxy, listen, str(port), to, str(port)], stdin=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, text=True)

    def say(self, *lines):
        try:
            self.process.stdin.write("".join(line + "\n" for line in lines))
            self.process.stdin.flush()
        except OSError:
            pass

    def heal(self):
        self.say("thaw", "accept", "delay 0", "rate 0", "cut-after 0")

    def end(self):
        try:
            self.process.stdin.close()
        except OSError:
            pass
        self.process.kill()
        self.process.wait(30)


class Bed:
    def __init__(self, build, seed, nodes=4, speed=360, fleet="default", removable=False, proxies=False, disk_mib=0, keep=None,
                 net=None, lab_in=(), controller_in=()):
        self.programs = Programs(build)
        self.lab_in, self.controller_in = list(lab_in), list(controller_in)  # words in front: `ip netns exec NAME`
        self.keep = keep
        self.dir = tempfile.mkdtemp(prefix="pw-torture-")
        self.disk = self.daemon = self.watch = self.watched = None
        self.proxies = {}
        try:
            self.make_disk(disk_mib)
            self.db = f"{self.disk or self.dir}/patchwave.db"
            self.env = dict(os.environ, PATCHWAVE_DB=self.db)
            self.env.pop("SUDO_USER", None)
            self.must(self.programs.hvlab, "make", "--dir", self.lab, "--nodes", str(nodes), "--seed", str(seed), "--speed", str(speed),
                      "--fleet", fleet, "--agent", self.programs.agent, *(["--removable"] if removable else []), *(["--net", net] if net else []))
            self.daemon = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *self.lab_in, self.programs.hvlab, "serve", "--dir", self.lab,
                                            "--processes"], stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
            self.wait_for_lab()
            with open(f"{self.lab}/inventory.json", encoding="utf-8") as f:
                self.inventory = json.load(f)
            self.nodes, self.clusters = ([x["id"] for x in self.inventory[kind]] for kind in ("nodes", "clusters"))
            if proxies:
                self.stand_between()
        except BaseException:
            self.end()
            raise

    def wait_for_lab(self):
        """Once more where the machine is too busy for the lab's own limit."""
        until = time.monotonic() + LIMIT_S
        words = (*self.lab_in, self.programs.hvlab, "wait", "--dir", self.lab)
        while self.run(*words).returncode != 0 and self.daemon.poll() is None and time.monotonic() < until:
            pass
        self.must(*words)

    @property
    def lab(self):
        return f"{self.dir}/lab"

    def make_disk(self, mib):
        """A file system of its own for the database, where root allows."""
        if not mib or os.geteuid() != 0:
            return
        disk = f"{self.dir}/disk"
        os.mkdir(disk)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "patchwave", disk], capture_output=True).returncode == 0:
            self.disk = disk

    def stand_between(self):
        port = self.inventory["ssh"]["port"]
        for n in self.inventory["nodes"]:
            real = n["ssh"]["address"]
            head, last = real.rsplit(".", 1)
            n["ssh"]["address"] = f"{head}.{int(last) + PROXY_SHIFT}"
            self.proxies[n["id"]] = Proxy(self.programs, n["ssh"]["address"], real, port)
        self.rewrite_inventory(connect_limit="10s", idle_limit="5s")  # half-open ones are to be noticed within a run of seconds
        for proxy, n in zip(self.proxies.values(), self.inventory["nodes"]):
            self.wait_listening(proxy, n["ssh"]["address"], port)

    def rewrite_inventory(self, **ssh):
        self.inventory["ssh"].update(ssh)
        with open(f"{self.lab}/inventory.json", "w", encoding="utf-8") as f:
            json.dump(self.inventory, f)

    @staticmethod
    def wait_listening(proxy, address, port):
        until = time.monotonic() + 30
        while time.monotonic() < until and proxy.process.poll() is None:
            try:
                socket.create_connection((address, port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"no proxy listens at {address}:{port}")

    def prepare(self, rollout):
        """Everything up to the approved plan, as an operator does it."""
        with open(f"{self.dir}/windows11.0-kb5061977-x64.msu", "wb") as f:
            f.write(b"p" * 65536)
        with open(f"{self.dir}/rollout.json", "w", encoding="utf-8") as f:
            json.dump(rollout, f)
        self.patchwave("init")
        self.patchwave("inventory", "import", "lab/inventory.json")
        self.patchwave("enroll", "--all", "--accept-new")
        self.patchwave("patch", "add", "windows11.0-kb5061977-x64.msu", "--target", "26100.4066")
        with open(f"{self.lab}/consents", encoding="utf-8") as f:
            for vm, method in map(str.split, f):
                self.patchwave("consent", "add", vm, "--method", method, "--ticket", "CHG-1")
        plan = self.run(*self.controller_in, self.programs.patchwave, "plan", "rollout.json")
        if plan.returncode not in (0, 10):  # 10: some nodes are refused, and named
            raise RuntimeError(f"plan: exit {plan.returncode}\n{plan.stdout}{plan.stderr}")
        self.patchwave("approve", "--ticket", "CHG-1")

    def run(self, *words, db=None):
        env = dict(self.env, PATCHWAVE_DB=db) if db else self.env
        return subprocess.run(words, cwd=self.dir, env=env, capture_output=True, text=True, errors="replace", timeout=LIMIT_S,
                              stdin=subprocess.DEVNULL)

    def must(self, *words):
        done = self.run(*words)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def patchwave(self, *words):
        return self.must(*self.controller_in, self.programs.patchwave, *words)

    def controller(self, *words, kill_at=None):
        """Start it; `words` as run, resume or takeover want them. What it says goes to controller.log."""
        env = dict(self.env, **({"PATCHWAVE_KILL_AT": kill_at} if kill_at else {}))
        with open(f"{self.dir}/controller.log", "ab") as log:
            return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.controller_in, self.programs.patchwave, *words], cwd=self.dir, env=env, stdout=log, stderr=log,
                                    stdin=subprocess.DEVNULL)

    def ask(self, sql, *words):
        return ask(self.db, sql, *words)

    def begun(self):
        return bool(self.ask("SELECT 1 FROM runs"))

    def look(self):
        """(the run's state, phases of the nodes that are under way), over a connection that stays: it is asked for often."""
        try:
            if self.watch is None or self.watched != self.db:
                self.look_away()
                self.watched, self.watch = self.db, sqlite3.connect(f"file:{self.db}?mode=ro", uri=True, timeout=0.2)
            run = self.watch.execute("SELECT id, state FROM runs ORDER BY last_seq DESC LIMIT 1").fetchall()
            rows = self.watch.execute("SELECT node, phase FROM run_nodes WHERE run = ? AND phase NOT IN ('pending', 'ended')",
                                      (run[0][0],)).fetchall() if run else []
            return (run[0][1] if run else "none"), dict(rows)
        except sqlite3.Error:
            self.look_away()
            return "?", {}

    def look_away(self):
        if self.watch is not None:
            self.watch.close()
        self.watch = None

    def phases(self):
        return self.look()[1]

    def log(self):
        try:
            with open(f"{self.dir}/controller.log", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def agent_pids(self, node):
        return [pid for pid, words in processes(f"{self.lab}/nodes/{node}/agent.json") if "serve" in words]

    def sshd_pids(self, node):
        return [pid for pid, _ in processes(f"{self.lab}/nodes/{node}/sshd_config")]

    def session_pids(self, node):
        """sshd's children for that node: everything right below its daemon."""
        daemons = set(self.sshd_pids(node))
        return [int(p) for p in filter(str.isdigit, os.listdir("/proc")) if parent(int(p)) in daemons]

    def truth(self):
        return json.loads(self.must(self.programs.hvlab, "truth", "--dir", self.lab, "--json"))

    def lab_faults(self):
        text = self.must(self.programs.hvlab, "fault", "--dir", self.lab, "list")
        return json.loads(text[text.index('{"faults"'):])["faults"]

    def journal(self, node):
        """Its records in order: (n, kind, op, at_ms, boot_id, body)."""
        rows = ask(f"{self.lab}/nodes/{node}/state/journal.db", "SELECT n, kind, op, at_ms, boot_id, body FROM record ORDER BY n")
        return [(*row[:5], json.loads(row[5])) for row in rows]

    def fill_disk(self):
        """Not one byte is left for the database. False where it has no disk of its own."""
        if self.disk is None:
            return False
        with open(f"{self.disk}/filler", "wb") as f:
            piece = 1 << 20
            while piece:
                try:
                    os.posix_fallocate(f.fileno(), f.tell(), piece)
                    f.seek(piece, os.SEEK_CUR)
                except OSError:
                    piece //= 2
        return True

    def free_disk(self):
        if self.disk is not None and os.path.exists(f"{self.disk}/filler"):
            os.unlink(f"{self.disk}/filler")

    def end(self):
        for proxy in self.proxies.values():
            proxy.end()
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(60)
        if self.keep:
            shutil.copytree(self.dir, self.keep, symlinks=True, ignore=shutil.ignore_patterns("*.sock", "driver", "keys"), dirs_exist_ok=True)
        self.look_away()
        if self.disk is not None:
            for _ in range(100):  # a reader may still have it open
                if subprocess.run(["umount", self.disk], capture_output=True).returncode == 0:
                    break
                time.sleep(0.05)
        shutil.rmtree(self.dir, ignore_errors=True)


class Tap:
    def __init__(self):
        self.n = self.failed = 0

    def say(self, ok, title, detail=""):
        self.n += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.n} - {title}", flush=True)
        if not ok:
            print("\n".join("#   " + line for line in str(detail).splitlines()[-25:]), flush=True)

    def end(self):
        print(f"1..{self.n}")
        return self.failed > 0


def starts_too_often(records):
    """Ops of a journal that were started again although no witness had said `not done`."""
    starts, undone = collections.Counter(), collections.Counter()
    for _, kind, op, _, _, body in records:
        starts[op] += kind == "start"
        undone[op] += kind == "witness" and body.get("verdict") == "not_done"
    return [op for op, n in starts.items() if n > 1 + undone[op]]
