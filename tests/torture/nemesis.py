"""Who disturbs a run: faults drawn by seed, each at a moment of the run (a node in a phase, or a time), each with its own course.

A fault is a generator over the play: what stands before its first `yield` strikes, `yield seconds` lets the run go on meanwhile, what
follows takes the disturbance back. In the calm every course is run to its end at once.
"""
import os
import random
import signal
import subprocess
import time

from bed import PHASES, signal_all

KILL_WHAT = (["run_start", "node_claimed", "node_claimed:2", "staged", "node_lost", "timeout:3", "observed:5", "observed:20"] +
             [f"start/{a}" for a in ("pause", "move_vm", "move_vm:4", "move_groups", "storage_out", "stop_vmms", "install", "reboot",
                                     "start_vmms", "storage_in", "resume")] +
             [f"result/{a}" for a in ("pause", "move_vm", "move_groups", "storage_out", "stop_vmms", "install", "start_vmms",
                                      "storage_in", "resume")] + [f"phase/{p}" for p in PHASES])
# name of the lab's fault -> (weight, subject, argument, is it taken back in the calm)
LAB_FAULTS = {
    "install-fails": (2, "node", "", False), "install-slow": (2, "node", "3", False), "old-build": (2, "node", "", False),
    "second-reboot": (3, "node", "", False), "self-reboot": (2, "node", "", False), "pending-reboot": (1, "node", "", False),
    "no-space": (1, "node", "", False), "late-back": (3, "node", "60", False), "less-memory": (1, "node", "", False),
    "nic-down": (1, "node", "", False), "node-down": (2, "node", "", False), "found-paused": (1, "node", "", False),
    "pause-refused": (2, "node", "", True), "resume-refused": (2, "node", "", True), "vmms-stuck": (2, "node", "", True),
    "vmms-no-start": (1, "node", "", True), "storage-out-refused": (2, "node", "", True), "witness-offline": (1, "node", "", True),
    "cau-active": (1, "node", "", True), "backup-7001": (2, "node", "", False), "backup-silent": (2, "node", "", True),
    "heartbeat-lost": (1, "node", "", False), "driver-crash": (4, "node", "", False), "driver-garbage": (4, "node", "", False),
    "driver-hangs": (4, "node", "", False), "refuse-move": (2, "vm", "", True), "move-fails-halfway": (3, "vm", "", False),
    "slow-move": (2, "vm", "20", False), "foreign-move": (3, "vm", "", False), "vm-busy": (2, "vm", "backup", True),
    "vm-crash": (1, "vm", "", False), "event-lost": (2, "vm", "", False),
}
VERBS = {"pause": 4, "abort": 1, "retry": 3, "set-aside": 2, "return": 3, "promote": 2, "rollback": 1, "decide": 2, "resume": 2}


class Fault:
    def __init__(self, kind, rng, span_s):
        self.kind = kind
        self.rng = random.Random(rng.random())
        self.phase = self.rng.choice(PHASES) if self.rng.random() < 0.8 else None
        self.after_s = self.rng.uniform(0, span_s) if self.phase is None or self.rng.random() < 0.5 else 0
        self.course = self.wake = None
        self.begun = self.struck = self.over = False
        self.name = kind

    def __str__(self):
        when = f"{self.after_s:.1f} s" if self.after_s else ""
        return f"{self.name} at {' after '.join(filter(None, (self.phase, when)))}"


def draw_faults(rng, how_many, kinds, can_fill, span_s):
    """The moments lie in the first `span_s` real seconds, or at the first node in a phase after them."""
    names = [k for k in kinds if can_fill or k != "disk-full"]
    return [Fault(k, rng, span_s) for k in rng.choices(names, [FAULTS[k][0] for k in names], k=how_many)]


# --- the courses: each gets the play, its fault and the node that it is about ---

def controller_kill(play, f, _):
    if not play.kill():
        return False
    play.strike(f)


def controller_kill_twice(play, f, _):
    """Once more while it recovers."""
    if not play.kill():
        return False
    play.strike(f)
    yield 0
    for _ in range(200):
        if play.alive():
            break
        yield 0.02
    yield f.rng.uniform(0, 0.25)
    play.kill()


def controller_stop(play, f, _):
    if not play.signal(signal.SIGSTOP):
        return False
    stopped = play.ctl
    play.strike(f)
    yield f.rng.choice([0.1, 0.5, 1.5, 3])
    signal_all([stopped.pid], signal.SIGCONT)


def controller_term(play, f, _):
    if not play.signal(f.rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])):
        return False
    play.strike(f)


def controller_kill_at(play, f, _):
    """The next process dies at a place named in its own log (orchestrator/io/kill_point.h)."""
    play.kill_at.append((f, f"{f.rng.choice(['append_before', 'append_after', 'submit_after'])}:{f.rng.choice(KILL_WHAT)}"))


def agent_kill(play, f, node):
    if not signal_all(play.bed.agent_pids(node)):
        return False
    play.strike(f, node)


def agent_stop(play, f, node):
    pids = play.bed.agent_pids(node)
    if not signal_all(pids, signal.SIGSTOP):
        return False
    play.strike(f, node)
    yield f.rng.choice([0.1, 0.5, 2, 5])
    signal_all(pids, signal.SIGCONT)


def sshd_kill(play, f, node):
    if not signal_all(play.bed.session_pids(node) + play.bed.sshd_pids(node)):
        return False
    play.strike(f, node)


def session_kill(play, f, node):
    if not signal_all(play.bed.session_pids(node)):
        return False
    play.strike(f, node)


def sshd_stop(play, f, node):
    pids = play.bed.session_pids(node)
    if not signal_all(pids, signal.SIGSTOP):
        return False
    play.strike(f, node)
    yield f.rng.choice([0.2, 1, 4])
    signal_all(pids, signal.SIGCONT)


def network(words, back, waits):
    """A fault of the proxies: of one node, or of all (one time in four)."""
    def course(play, f, node):
        proxies = list(play.bed.proxies.values()) if f.rng.random() < 0.25 else [play.bed.proxies[node]]
        for p in proxies:
            p.say(*[w.format(n=f.rng.choice([100, 700, 3000, 20000])) for w in words])
        play.strike(f, node)
        yield f.rng.choice(waits)
        for p in proxies:
            p.say(*back)
    return course


def disk_full(play, f, _):
    if not play.bed.fill_disk():
        return False
    play.filled = f
    yield f.rng.choice([0.2, 1, 2.5])
    play.bed.free_disk()


def operator_verb(play, f, node):
    if not play.bed.begun():
        return False  # there is nothing yet that it could be about, and the program says so
    verb = f.rng.choices(list(VERBS), list(VERBS.values()))[0]
    words = {"promote": ["--ticket", "CHG-9"], "abort": ["--reason", "nemesis"], "decide": [node, f.rng.choice(["done", "not-done"])],
             "rollback": ["--ticket", "CHG-9"]}.get(verb, [node] if verb in ("retry", "set-aside", "return") else [])
    f.name = f"verb {verb}"
    if verb == "decide" and not play.bed.ask("SELECT 1 FROM run_nodes WHERE unknown"):
        verb, words = "retry", [node]  # nobody answers for what is not asked: an answer that is a lie is no fault of ours
    if verb == "resume" and not play.alive():
        return False  # it would be the controller
    play.verb(verb, *words)
    play.strike(f, node)
    if verb == "pause":
        yield f.rng.uniform(0.1, 1.5)
        if play.alive():
            play.verb("resume")


def takeover(play, f, _):
    """A copy of the database goes on while the one it was made of sleeps, and wakes."""
    if play.copies or not play.alive() or not play.bed.begun():
        return False  # one copy each run: of two, the older would be the second to take over; one without a run takes none over
    copy = f"{os.path.dirname(play.bed.db)}/copy.db"
    play.copies += 1
    if play.patchwave("backup", copy).returncode != 0:
        return False
    yield f.rng.choice([0, 0.3, 2])
    if not play.signal(signal.SIGSTOP):
        return False
    play.strike(f)
    play.hand_over(copy)
    yield f.rng.choice([0.3, 1, 3])
    signal_all([play.overtaken.pid], signal.SIGCONT)


def lab_fault(play, f, node):
    name = f.rng.choices(list(LAB_FAULTS), [w for w, _, _, _ in LAB_FAULTS.values()])[0]
    _, kind, argument, lasting = LAB_FAULTS[name]
    f.name = f"lab {name}"
    subject = node
    if kind == "vm":
        subject = f.rng.choice([v["id"] for v in play.bed.inventory["vms"] if v["node"] == node] or
                               [v["id"] for v in play.bed.inventory["vms"]])
    if play.lab_fault("add", name, subject, argument):
        play.lab_faults[(name, subject)] = f
        if lasting:
            play.lasting.append((name, subject))


# kind -> (weight, course)
FAULTS = {
    "controller-kill": (4, controller_kill), "controller-kill-twice": (2, controller_kill_twice),
    "controller-kill-at": (4, controller_kill_at), "controller-stop": (3, controller_stop), "controller-term": (2, controller_term),
    "agent-kill": (4, agent_kill), "agent-stop": (3, agent_stop), "sshd-kill": (2, sshd_kill), "session-kill": (3, session_kill),
    "session-stop": (2, sshd_stop), "disk-full": (3, disk_full), "verb": (6, operator_verb), "takeover": (2, takeover),
    "lab": (9, lab_fault),
    "net-cut": (3, network(["cut"], [], [0])),
    "net-refuse": (2, network(["refuse", "cut"], ["accept"], [0.3, 1.5, 4])),
    "net-half-open": (3, network(["freeze"], ["thaw"], [0.3, 1.5, 5, 8])),
    "net-half-open-cut": (2, network(["freeze"], ["cut", "thaw"], [0.3, 1.5, 8])),
    "net-delay": (2, network(["delay 150"], ["delay 0"], [0.5, 2])),
    "net-slow": (2, network(["rate 3000"], ["rate 0"], [0.5, 2])),
    "net-cut-after": (2, network(["cut-after {n}"], ["cut-after 0"], [0.5, 2])),
}


class Nemesis:
    def __init__(self, play, faults):
        self.play, self.faults, self.begun = play, faults, time.monotonic()

    def due(self, f, phases):
        """The node that it is about; None: not yet."""
        if time.monotonic() - self.begun < f.after_s:
            return None
        if f.phase is not None:
            return next((n for n, p in sorted(phases.items()) if p == f.phase), None)
        return f.rng.choice(sorted(phases) or self.play.bed.nodes)

    def begin(self, f, node):
        f.begun = True
        result = FAULTS[f.kind][1](self.play, f, node)
        if hasattr(result, "send"):
            f.course = result
            self.advance(f)
        else:
            f.over = True

    def advance(self, f):
        try:
            f.wake = time.monotonic() + next(f.course)
        except StopIteration:
            f.over = True

    def step(self, phases):
        for f in self.faults:
            if not f.begun and (f.kind == "controller-kill-at" or (self.play.alive() or f.phase is None)):
                node = self.play.bed.nodes[0] if f.kind == "controller-kill-at" else self.due(f, phases)
                if node is not None:
                    self.begin(f, node)
            elif f.course is not None and not f.over and time.monotonic() >= f.wake:
                self.advance(f)

    def busy(self):
        return any(f.begun and not f.over for f in self.faults)

    def calm(self):
        """Nothing strikes any more, and what can heal heals."""
        for f in self.faults:
            f.begun = True
            while f.course is not None and not f.over:
                self.advance(f)
        self.play.bed.free_disk()
        for p in self.play.bed.proxies.values():
            p.heal()
        self.play.note_lab_hits()
        for name, subject in self.play.lasting:
            self.play.lab_fault("remove", name, subject)
        self.play.lasting.clear()


def run_quietly(words, **more):
    try:
        return subprocess.run(words, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, **more)
    except subprocess.TimeoutExpired as e:
        return subprocess.CompletedProcess(words, -99, str(e.stdout), str(e.stderr))
