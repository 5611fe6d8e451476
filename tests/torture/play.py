"""One run with real processes under a nemesis: start, disturb, calm, lead to its end as a reasonable operator would, judge.

`play(options, seed)` gives a Verdict. All that is drawn comes from the seed; how processes interleave does not.
"""
import collections
import os
import random
import signal
import subprocess
import time

from bed import Bed, ask
from history import History
from nemesis import FAULTS, Nemesis, draw_faults, run_quietly

ENDED = ("finished", "rolled_back", "halted", "aborted")
END_CODES = (0, 10, 12, 13, 14)


class Options:
    def __init__(self, build, nodes=(3, 6), speed=1200, kinds=None, faults=(1, 5), verbose=False, keep=None, limit_s=900, calm_s=25,
                 demo=False, span_s=8):
        self.build, self.nodes, self.speed, self.kinds, self.faults = build, nodes, speed, kinds or list(FAULTS), faults
        self.verbose, self.keep, self.limit_s, self.calm_s, self.demo, self.span_s = verbose, keep, limit_s, calm_s, demo, span_s


class Verdict:
    def __init__(self, seed):
        self.seed, self.wrong, self.drawn, self.struck, self.phases = seed, [], [], collections.Counter(), collections.Counter()
        self.code, self.state, self.took_s, self.cpu_s = None, "?", 0.0, 0.0
        self.nodes = 0


class Wrong(Exception):
    pass


def small_rollout(rng, bed, removable):
    watch = {"interval": "4m", "soak": "4m", "max_age": "4h", "when": "both"}
    gates = [{"name": "cluster", "type": "cluster_health", "scope": "cluster", "on_fail": "halt", **watch}]
    if rng.random() < 0.4:
        gates.append({"name": "backup", "type": "backup_agent", "scope": "node", "on_fail": rng.choice(["halt", "rollback"]), **watch})
    if rng.random() < 0.3:
        gates.append({"name": "heartbeat", "type": "vm_heartbeat", "scope": "node", "on_fail": rng.choice(["halt", "rollback"]),
                      **watch, "when": "after"})
    return {"version": 1, "name": "torture", "patch": {"kb": "KB5061977"}, "waves": rng.choice([[1, "100%"], [2, "100%"], ["50%"], ["100%"]]),
            "gates": gates,
            "waivers": [{"what": "reserve_none", "cluster": c, "person": "test", "ticket": "CHG-1"} for c in bed.clusters],
            # A real second is twenty minutes here, and the machine may be busy: what travels over real SSH may be that old.
            "policy": {"reserve_min": "none", "planner_may_approve": True, "deviations_max": 500, "moves_per_vm": 8,
                       "rollback_moves_per_vm": 16, "unreachable": "10h", "fresh": "3h", "timeout_factor": 10,
                       "rehearse": removable and rng.random() < 0.3}}


def demo_rollout(removable):
    """As examples/lab/demo.sh has it, but that a busy machine is no fault: ten real seconds are an hour here."""
    watch = {"interval": "4m", "soak": "8m", "max_age": "2h", "when": "both"}
    return {"version": 1, "name": "kb5061977", "patch": {"kb": "KB5061977"}, "waves": [12, 24, "100%"],
            "gates": [{"name": "time", "type": "time_sync", "scope": "node", "on_fail": "halt", **watch},
                      {"name": "backup", "type": "backup_agent", "scope": "node", "on_fail": "rollback", **watch},
                      {"name": "cluster", "type": "cluster_health", "scope": "cluster", "on_fail": "rollback", **watch},
                      {"name": "heartbeat", "type": "vm_heartbeat", "scope": "node", "on_fail": "rollback", **watch, "when": "after"}],
            "policy": {"planner_may_approve": True, "deviations_max": 5000, "moves_per_vm": 6, "rollback_moves_per_vm": 12,
                       "unreachable": "6h", "fresh": "90m", "rehearse": removable}}


class Play:
    def __init__(self, options, seed):
        self.options, self.verdict = options, Verdict(seed)
        self.rng = rng = random.Random(seed)
        self.begun = time.monotonic()
        removable = rng.random() < 0.35
        nodes = rng.randint(*options.nodes)
        fleet = rng.choice(["default", "default", "mixed"])
        self.on_hold = rng.choice(["exit", "exit", "wait"])
        faults = draw_faults(rng, rng.randint(*options.faults), options.kinds, os.geteuid() == 0, options.span_s)
        keep = f"{options.keep}/{seed}" if options.keep else None
        self.bed = Bed(options.build, seed % 1000, nodes, options.speed, fleet, removable, proxies=True,
                       disk_mib=600 if options.demo else 48, keep=None)
        self.keep = keep
        self.ctl = self.overtaken = self.filled = None
        self.kill_at, self.lasting, self.lab_faults, self.lab_hits = [], [], {}, set()
        self.took_over = self.is_calm = self.killed = False
        self.retake = None  # None: never needed yet; True: due
        self.copies = 0
        self.next_words, self.restart_at, self.restart_db, self.armed = None, None, None, None
        self.verdict.drawn, self.verdict.nodes = [str(f) for f in faults], nodes
        self.nemesis = Nemesis(self, faults)
        self.tries = 0
        self.tell(f"{nodes} nodes, {fleet}{', removable' if removable else ''}, on hold {self.on_hold}: {', '.join(map(str, faults))}")
        try:
            self.bed.prepare(demo_rollout(removable) if options.demo else small_rollout(rng, self.bed, removable))
            hashes = self.bed.ask("SELECT nodes, refused FROM plans")
            self.planned = hashes[0][0]
        except BaseException:
            self.bed.end()
            raise

    def tell(self, text):
        if self.options.verbose:
            print(f"# {self.verdict.seed} {time.monotonic() - self.begun:6.2f} s: {text}", flush=True)

    # --- what the nemesis may do ---

    def alive(self):
        return self.ctl is not None and self.ctl.poll() is None

    def signal(self, sig):
        if not self.alive():
            return False
        self.ctl.send_signal(sig)
        return True

    def kill(self):
        """SIGKILL is no fault where it meets a process that has ended."""
        if not self.alive():
            return False
        self.killed = True
        self.ctl.kill()
        return True

    def strike(self, f, node=None):
        f.struck = True
        phases = self.bed.phases()
        hit = [phases[node]] if node in phases else list(phases.values()) if node is None else []
        self.verdict.struck[f.name] += 1
        self.verdict.phases.update(hit)
        self.tell(f"{f.name} {node or ''} strikes: {phases}")

    def patchwave(self, *words, limit_s=60):
        done = run_quietly([self.bed.programs.patchwave, *words], cwd=self.bed.dir, env=dict(self.bed.env, PATCHWAVE_DB=self.bed.db),
                           timeout=limit_s)
        if done.returncode in (1, 2, 3) or (done.returncode < 0 and done.returncode != -99):
            raise Wrong(f"I26 patchwave {' '.join(words)}: exit {done.returncode}: {(done.stdout + done.stderr)[-400:]}")
        return done

    def verb(self, *words):
        done = self.patchwave(*words, limit_s=10 if words[0] == "resume" else 60)
        self.tell(f"{' '.join(words)}: {done.returncode} {(done.stdout + done.stderr).strip()[:160]}")
        return done.returncode == 0

    def lab_fault(self, what, name, subject, argument=""):
        words = [self.bed.programs.hvlab, "fault", "--dir", self.bed.lab, what, name, subject, *([argument] if argument else [])]
        self.tell(" ".join(words[4:]))
        return run_quietly(words, timeout=60).returncode == 0

    def note_lab_hits(self):
        """A fault that is taken back is forgotten by the lab: what it has struck is noted before."""
        for f in self.bed.lab_faults():
            if f["hits"]:
                self.lab_hits.add((f["name"], f["subject"]))

    def hand_over(self, copy):
        self.overtaken, self.ctl, self.overtaken_db = self.ctl, None, self.bed.db
        self.took_over = True
        self.bed.db = copy
        self.bed.env["PATCHWAVE_DB"] = copy
        self.begin("takeover", "--ticket", "CHG-8")

    # --- the controller's life ---

    def begin(self, *words):
        kill_at = None
        if not self.is_calm and self.kill_at:
            self.armed, kill_at = self.kill_at.pop(0)
            self.armed.name = "controller-kill-at " + kill_at.split(":")[0]
            self.tell(f"to die at {kill_at}")
        else:
            self.armed = None
        self.killed = False
        self.words = words
        self.ctl = self.bed.controller(*words, "--on-hold", "exit" if self.is_calm else self.on_hold, kill_at=kill_at)
        self.tell(f"{' '.join(words)} (pid {self.ctl.pid})")

    def go_on(self):
        self.restart_at = None
        if self.retake:
            self.retake = False
            self.begin("takeover", "--ticket", "CHG-8")
        else:
            self.begin(*(("resume",) if self.bed.begun() else ("run",)))

    def state(self):
        rows = self.bed.ask("SELECT state, hold_reason, hold_verb FROM runs ORDER BY last_seq DESC LIMIT 1")
        return rows[0] if rows else ("none", "", "")

    def left(self, code):
        """The controller is gone; true when the run has ended."""
        state, reason, verb = self.state()
        self.tell(f"exit {code}; the run is {state} {reason} {verb}")
        if code == -signal.SIGKILL and self.armed is not None and not self.killed:
            self.strike(self.armed)
        elif code == 4 and self.disk_was_full():
            if self.filled is not None:  # it may tell of it when there is room again
                self.strike(self.filled)
            self.filled = None
        elif code < 0 and not self.killed and code not in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
            raise Wrong(f"I26 the controller died of signal {-code}: {self.bed.log()[-600:]}")
        elif code == 15 and self.cut_short():
            self.retake = True  # the refusal says so
        elif code in (1, 2, 3, 7) or code == 15 or (code == 4 and not self.disk_was_full()):
            raise Wrong(f"exit code {code} of {' '.join(self.words)}: {self.bed.log()[-600:]}")
        if state in ENDED and code in (*END_CODES, 6):
            self.verdict.code = code if code != 6 else self.patchwave("status", "--exit-code").returncode
            return True
        if code == 11 or (code in (5, 6) and state == "holding"):
            self.lead_out(reason, verb)
        self.restart_at = time.monotonic() + (0 if self.is_calm else 0.4 if code == 4 else self.rng.choice([0, 0, 0.2, 1]))
        return False

    def cut_short(self):
        """The takeover was killed before each node had heard of it, and `resume` is refused, once."""
        return self.retake is None and self.took_over and self.words[0] == "resume" and "was cut short" in self.bed.log()

    def disk_was_full(self):
        return self.verdict.struck["disk-full"] > 0 or "full" in self.bed.log()[-2000:]

    def lead_out(self, reason, verb):
        """A reasonable operator: answers what is asked, and gives up in the end."""
        self.tries += 1
        self.tell(f"holding: {reason}, leads on: {verb}")
        if self.tries > 14:
            self.verb("abort", *(["--force"] if self.tries > 18 else []), "--reason", "given up")
        elif verb == "decide" and self.decide():
            pass
        elif verb in ("promote", "decide") and not (verb == "promote" and self.verb("promote", "--accept-unknown", "--ticket", "CHG-3")):
            for node, in self.bed.ask("SELECT node FROM run_nodes WHERE unknown"):
                if not self.verb("retry", node) and self.tries > 4:  # nobody can tell, and nothing comes of waiting
                    self.verb("set-aside", node)
        if self.alive() and self.state()[0] == "holding":
            self.verb("resume")

    def decide(self):
        """Somebody goes and looks whether it was done."""
        rows = self.bed.ask("SELECT s.node, s.op FROM steps s JOIN run_nodes n ON n.node = s.node AND n.run = s.run "
                            "WHERE n.unknown AND s.state <> 'done' AND s.outcome <> 'ok' ORDER BY s.seq DESC")
        rows = rows or self.bed.ask("SELECT node, op FROM steps WHERE state = 'unknown'")
        happened = {e["op"] for e in self.bed.truth()["effects"]}
        if not rows:  # ops that this log lacks, after a takeover: somebody looks at the node for what it has begun
            return any([self.verb("decide", node, "done" if self.begun_there(node) <= happened else "not-done")
                        for node, in self.bed.ask("SELECT node FROM run_nodes WHERE unknown")])
        return any([self.verb("decide", node, "done" if op in happened else "not-done", "--op", op) for node, op in rows])

    def begun_there(self, node):
        """Ops that have a start and no end in the node's journal."""
        records = self.bed.journal(node)
        return {r[2] for r in records if r[1] == "start"} - {r[2] for r in records if r[1] == "done"}

    # --- a whole run ---

    def step(self):
        if self.ctl is not None and self.ctl.poll() is not None:
            code = self.ctl.returncode
            self.ctl = None
            if self.left(code):
                return True
        if self.ctl is None and self.restart_at is not None and time.monotonic() >= self.restart_at:
            self.go_on()
        return False

    def course(self):
        self.go_on()
        self.nemesis.begun = time.monotonic()
        calm_at, held_since, over = time.monotonic() + self.options.calm_s, None, False
        while not over:
            now = time.monotonic()
            if now - self.nemesis.begun > self.options.limit_s:
                raise Wrong(f"I27 no end after {self.options.limit_s} s: {self.state()} {self.bed.ask('SELECT node, phase, ending, unknown, claimed, reason, waits_for FROM run_nodes')}")
            over = self.step()
            state, phases = self.bed.look()
            if not self.is_calm:
                self.nemesis.step(phases)
                if over or now > calm_at or (all(f.over for f in self.nemesis.faults) and not self.kill_at):
                    self.tell("calm")
                    self.nemesis.calm()
                    self.is_calm = True
            held_since = (held_since or now) if state == "holding" and self.alive() else None
            if held_since and now - held_since > (0.5 if self.is_calm else 1.5):
                self.lead_out(*self.state()[1:])
                held_since = None
            time.sleep(0.02)

    def put_back(self):
        """What is still out after the end is brought back, once."""
        stuck = [n for n, in self.bed.ask("SELECT node FROM run_nodes WHERE ending = 'stuck'")]
        for node in stuck:
            self.verb("return", node)
        if stuck:
            self.begin("resume")
            try:
                code = self.ctl.wait(self.options.limit_s)
            except subprocess.TimeoutExpired:
                raise Wrong(f"I27 return of {stuck} has no end") from None
            self.tell(f"put back {stuck}: exit {code}")
            if code != 6:
                self.verdict.code = code

    def settle(self):
        """The lab's own goings-on (a boot, a move of the balancer's) come to rest."""
        until = time.monotonic() + 40
        while time.monotonic() < until:
            truth = self.bed.truth()
            never = {f["subject"] for f in self.bed.lab_faults() if f["name"] == "never-back"}
            moving = any(v["state"] not in ("running", "off", "saved") for v in truth["vms"])
            if not moving and all((n["on"] and n["vmms"]) or n["id"] in never or n["paused"] for n in truth["nodes"]):
                return
            time.sleep(0.1)

    def old_one_is_stopped(self):
        """The overtaken controller has been refused and has left by itself. One whose run came to hold before any node could
        refuse it (it slept for hours of the fleet's time) has left as well, and whoever goes on with it is refused."""
        if self.overtaken is None:
            return
        try:
            code = self.overtaken.wait(60)
        except subprocess.TimeoutExpired:
            self.overtaken.kill()
            self.overtaken.wait(30)
            self.verdict.wrong.append("I20 the overtaken controller goes on")
            return
        if code == 11:
            held = ask(self.overtaken_db, "SELECT 1 FROM runs WHERE state = 'holding'")
            done = run_quietly([self.bed.programs.patchwave, "resume", "--on-hold", "exit"], cwd=self.bed.dir,
                               env=dict(self.bed.env, PATCHWAVE_DB=self.overtaken_db), timeout=60)
            self.tell(f"the overtaken one held, and is resumed: {done.returncode} {(done.stdout + done.stderr).strip()[-200:]}")
            code = done.returncode if held else code
        if code not in (15, 16, *END_CODES):
            self.verdict.wrong.append(f"I20 the overtaken controller left with {code}")
        self.tell(f"the overtaken one left with {code}")

    def judge(self):
        self.note_lab_hits()
        for key, f in self.lab_faults.items():
            if key in self.lab_hits:
                self.verdict.struck[f.name] += 1
        history = History(self.bed, self.planned, self.took_over, self.lab_hits)
        self.verdict.wrong += history.judge(self.verdict.code)
        self.verdict.state = self.state()[0]

    def play(self):
        try:
            self.course()
            self.old_one_is_stopped()
            self.put_back()
            self.settle()
            self.judge()
        except Wrong as e:
            self.verdict.wrong.append(str(e))
        finally:
            for process in (self.ctl, self.overtaken):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait(30)
            if self.verdict.wrong and self.keep:
                self.bed.keep = self.keep
            self.bed.end()
        return self.verdict


def play(options, seed):
    before, begun = os.times(), time.monotonic()
    verdict = Play(options, seed).play()
    after = os.times()
    verdict.took_s = time.monotonic() - begun
    verdict.cpu_s = sum(after[:4]) - sum(before[:4])
    return verdict
