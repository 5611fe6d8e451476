"""Was it right what happened? Judged after a run from the lab's truth and the agents' journals; what the controller's log claims is
compared with them, never believed. `judge` gives sentences, each beginning with the invariant's number (docs/reliability.md).

What the lab was told to do to the fleet (`hvlab fault`) excuses just what it explains.
"""
import collections
import json

from bed import starts_too_often

EMPTY_FIRST = ("install", "uninstall", "reboot")
# Which lab fault explains which damage; "*" on any node of the cluster.
DAMAGE_BY = {
    "vm_on_down_node": {"node-down", "self-reboot"}, "hard_failover": {"node-down", "self-reboot"}, "cluster_lost": {"node-down"},
    "quarantined": {"node-down", "self-reboot", "second-reboot"}, "no_storage_maintenance": {"node-down", "self-reboot"},
    "servicing_cut": {"node-down", "self-reboot"}, "resumed_without_storage": set(), "vmms_stopped_under_vm": set(),
}
OUTAGE_BY = {"node-down", "vm-crash", "self-reboot"}  # a VM may crash by these
ENDS = {"done", "compliant", "rolled_back", "returned", "set_aside", "not_started", "stuck"}
STATE_CODE = {"rolled_back": 13, "halted": 12, "aborted": 14}


class History:
    def __init__(self, bed, nodes_wanted, took_over=False, hits=()):
        self.bed = bed
        self.truth = bed.truth()
        self.hit = collections.defaultdict(set)  # lab fault -> subjects that it has struck
        for name, subject in hits:
            self.hit[name].add(subject)
        self.journals = {n: bed.journal(n) for n in bed.nodes}
        self.took_over = took_over
        self.nodes_wanted = nodes_wanted
        self.consented = {line.split()[0] for line in open(f"{bed.lab}/consents", encoding="utf-8")}
        self.faults = []

    def wrong(self, invariant, text):
        self.faults.append(f"{invariant} {text}")

    def judge(self, code):
        for check in (self.empty_first, self.damage, self.vms, self.at_most_once, self.intent_first, self.fenced, self.audit,
                      self.boots_explained, self.ends, self.ledger):
            check()
        self.exit_code(code)
        self.log_is_whole()
        return self.faults

    def empty_first(self):
        for e in self.truth["effects"]:
            if e["what"] in EMPTY_FIRST and e["op"] and e["active_vms"]:
                self.wrong("I1", f"{e['what']} of {e['node']} by {e['op']} with {e['active_vms']} VMs there")

    def damage(self):
        for d in self.truth["damage"]:
            if not any(self.hit[f] for f in DAMAGE_BY.get(d["what"], ())) and not self.by_itself(d):
                self.wrong("I1" if "vm" in d["what"] else "damage", f"{d['what']} {d['subject']}: {d['detail']}")

    def by_itself(self, d):
        """The lab draws a reboot that servicing does by itself for one node in ninety."""
        return d["what"] in ("quarantined", "servicing_cut", "no_storage_maintenance", "hard_failover") and self.own_boots()

    def boots(self, node):
        return next(n["boots"] for n in self.truth["nodes"] if n["id"] == node)

    def reboots_asked(self, node):
        return sum(e["what"] == "reboot" and e["op"] != "" and e["node"] == node for e in self.truth["effects"])

    def own_boots(self):
        return [e["node"] for e in self.truth["effects"] if e["what"] == "reboot" and not e["op"]]

    def boots_explained(self):
        for n in self.truth["nodes"]:
            own = self.own_boots().count(n["id"]) + (n["id"] in self.hit["node-down"])
            asked = self.reboots_asked(n["id"])
            if not asked + own - 1 <= n["boots"] <= asked + own:  # one may be under way
                self.wrong("I19", f"{n['id']} booted {n['boots']} times, {asked} reboots were asked for and {own} came by themselves")

    def vms(self):
        """Each VM is there, once, and runs; one that is not has a reason that the lab was told of, or its owner's consent."""
        if sorted(v["id"] for v in self.truth["vms"]) != sorted(v["id"] for v in self.bed.inventory["vms"]):
            self.wrong("I8", "the VMs are not those of the inventory")
        on = {n["id"]: n["on"] and n["vmms"] for n in self.truth["nodes"]}
        crashed = any(self.hit[f] for f in OUTAGE_BY) or self.own_boots()
        stuck = {n for n, in self.bed.ask("SELECT node FROM run_nodes WHERE ending = 'stuck'")}
        for v in self.truth["vms"]:
            excused = v["id"] in self.hit["unpark-fails"] or (v["id"] in self.consented and (v["node"] in stuck or stuck)) or crashed
            if v["state"] not in ("running", "migrating") and not excused:
                self.wrong("I8", f"VM {v['name']} on {v['node']} is {v['state']} at the end")
            if not on[v["node"]] and v["state"] == "running" and not crashed:
                self.wrong("I8", f"VM {v['name']} is said to run on {v['node']}, which does not")
        for r in self.truth["downtime"]:
            if r["subject"] != "vm" or r["cause"] == "blackout" or r["foreign"]:
                continue
            if r["cause"] in ("shut_down", "saved"):
                if r["id"] not in self.consented:
                    self.wrong("I9", f"VM {r['id']} was {r['cause']} on {r['node']} without consent")
            elif not crashed and not (r["cause"] == "quick" and r["id"] in self.consented):
                self.wrong("I8", f"VM {r['id']} lost service on {r['node']}: {r['cause']}")

    def at_most_once(self):
        undone = collections.Counter()
        for node, records in self.journals.items():
            for op in starts_too_often(records):
                self.wrong("I19", f"{op} was started twice in {node}'s journal")
            done = collections.Counter(r[2] for r in records if r[1] == "done")
            for op, n in done.items():
                if n > 1:
                    self.wrong("I19", f"{op} was done {n} times in {node}'s journal")
            undone.update(r[2] for r in records if r[1] == "witness" and r[5].get("verdict") == "not_done")
        effects = collections.Counter((e["op"], e["what"], e["subject"]) for e in self.truth["effects"] if e["op"])
        for (op, what, subject), n in effects.items():
            if n > 1 + undone[op]:
                self.wrong("I19", f"{op} had its effect {n} times ({what} {subject})")

    def intent_first(self):
        """No effect without a START that was durable before it."""
        started = {}
        for records in self.journals.values():
            for _, kind, op, at, _, _ in records:
                if kind == "start":
                    started.setdefault(op, at)
        for e in self.truth["effects"]:
            if e["op"] and e["op"] not in started:
                self.wrong("I18", f"{e['what']} of {e['node']} by {e['op']}, of which its journal has no start")
            elif e["op"] and started[e["op"]] > e["at_ms"] + self.truth["step_ms"]:
                self.wrong("I18", f"{e['what']} of {e['node']} by {e['op']} before its start was written")

    def fenced(self):
        for node, records in self.journals.items():
            held, by, accepted = 0, "", {}
            for _, kind, op, _, _, body in records:
                if kind == "claim":
                    if body["epoch"] < held or (body["epoch"] == held and body["controller"] != by):
                        self.wrong("I20", f"{node} took epoch {body['epoch']} after {held}")
                    held, by = body["epoch"], body["controller"]
                elif kind == "accept":
                    if body["epoch"] != held or body["controller"] != by:
                        self.wrong("I20", f"{node} accepted {op} of epoch {body['epoch']} while it was claimed for {held}")
                    accepted[op] = (body["epoch"], body["controller"])
                elif kind == "start" and accepted.get(op) != (held, by):
                    self.wrong("I20", f"{node} started {op} of epoch {accepted.get(op, ('?',))[0]} while it was claimed for {held}")

    def audit(self):
        """Each effect is of an op that the log intended; each op that the log calls done is done in the node's journal."""
        if self.took_over:
            return
        steps = dict(self.bed.ask("SELECT op, outcome FROM steps"))
        for e in self.truth["effects"]:
            if e["op"] and e["op"] not in steps:
                self.wrong("I24", f"{e['what']} of {e['node']} by {e['op']}, which the log does not know")
        done = {r[2] for records in self.journals.values() for r in records if r[1] == "done" and r[5]["outcome"] == "ok"}
        for op, action, outcome, witness in self.bed.ask("SELECT op, action, outcome, witness FROM steps WHERE state = 'done'"):
            if outcome == "ok" and op not in done and witness != "done":
                self.wrong("I24", f"the log has {op} done, the node's journal has not")

    def ends(self):
        truth = {n["id"]: n for n in self.truth["nodes"]}
        rows = self.bed.ask("SELECT node, ending, reason, phase FROM run_nodes WHERE run = (SELECT id FROM runs ORDER BY last_seq DESC LIMIT 1)")
        if len(rows) != self.nodes_wanted:
            self.wrong("I27", f"{len(rows)} nodes in the run, {self.nodes_wanted} were planned")
        for node, ending, reason, phase in rows:
            n = truth[node]
            serves = n["on"] and not n["paused"] and n["vmms"] and not n["storage_out"]
            told = any(node in self.hit[f] for f in ("found-paused", "node-down"))
            if ending not in ENDS:
                self.wrong("I27", f"{node} has no end: it is {phase}")
            elif ending not in ("done", "compliant") and not reason:
                self.wrong("I27", f"{node} is {ending} without a reason")
            if ending in ("done", "compliant") and n["ubr"] != 4066:
                self.wrong("I17", f"{node} is {ending} with build {n['ubr']}")
            if ending == "rolled_back" and n["ubr"] != n["base_ubr"]:
                self.wrong("I17", f"{node} is rolled_back with build {n['ubr']}")
            if ending != "stuck" and not serves and not told:
                self.wrong("I29", f"{node} is {ending} and does not serve: {n}")
            if ending == "not_started" and any(e["node"] == node and e["what"] in EMPTY_FIRST and e["op"] for e in self.truth["effects"]):
                self.wrong("I24", f"{node} is not_started, and was serviced")

    def exit_code(self, code):
        run = self.bed.ask("SELECT state FROM runs ORDER BY last_seq DESC LIMIT 1")
        state = run[0][0] if run else "?"
        ends = [e for e, in self.bed.ask("SELECT ending FROM run_nodes")]
        want = STATE_CODE.get(state, 0 if all(e in ("done", "compliant") for e in ends) else 10)
        if code != want:
            self.wrong("exit code", f"{code}, wanted {want}: the run is {state}, the nodes {dict(collections.Counter(ends))}")
        if state == "aborted" and not self.bed.ask("SELECT 1 FROM verbs WHERE verb LIKE 'abort%'"):
            self.wrong("exit code", "aborted, and nobody said so")

    def ledger(self):
        for fault in ledger_faults(self.bed.ask(LEDGER), self.truth):
            self.wrong("ledger", fault)

    def log_is_whole(self):
        for words, wanted in ((("replay",), "every command is the same again"), (("db", "check"), "whole"), (("db", "rebuild"), "equal")):
            done = self.bed.run(self.bed.programs.patchwave, *words, db=self.bed.db)
            if done.returncode != 0 or wanted not in done.stdout:
                self.wrong("I23", f"{' '.join(words)}: exit {done.returncode}: {(done.stdout + done.stderr).strip()[-300:]}")


LEDGER = ("SELECT id, cause, start_at, end_at, op FROM downtime WHERE subject = 'vm' "
          "AND (end_at IS NULL OR end_at > start_at)")  # a step without downtime has a row of 0 ms


def same(row, true, step):
    if row[0] != true["id"] or row[1] != true["cause"] or abs(row[2] - true["start_ms"]) > step:
        return False
    if row[3] is None or true["end_ms"] is None:  # still down, say both
        return row[3] is None and true["end_ms"] is None
    return abs(row[3] - true["end_ms"]) <= step


def ledger_faults(ledger, truth):
    """Each row of the truth that the run caused must be in the ledger once, start and end within the truth's own step, and
    the ledger may hold no other. What others did (the balancer, a fault) is no row of the run's."""
    spoken_for, faults = set(), []
    for true in truth["downtime"]:
        if true["subject"] != "vm":
            continue
        hits = [i for i, row in enumerate(ledger) if same(row, true, truth["step_ms"])]
        spoken_for.update(hits)
        if not hits and not true["foreign"]:
            faults.append(f"not in the ledger: {json.dumps(true)}")
    # an open row (a VM that is being parked) is closed by the one that names the same start
    for i, row in enumerate(ledger):
        closed_by = any(k != i and r[0] == row[0] and r[2] == row[2] and r[3] is not None for k, r in enumerate(ledger))
        if i not in spoken_for and not (row[3] is None and closed_by):
            faults.append(f"not in the truth: {row}")
    return faults
