#!/usr/bin/env python3
"""Kill points with real processes: the controller dies at named places, agents and SSH connections in named phases; each time
`patchwave resume` goes on. Ground truth at the end: every node patched and back, each serviced and rebooted once in the lab's own
books, no op started twice in any agent's journal. Prints TAP, and how often each node phase was hit.

    kill_points.py BUILD_DIR [SCENARIO ...]
"""
import collections
import os
import signal
import subprocess
import sys
import time

from bed import LIMIT_S, PHASES, Bed, Tap, signal_all, starts_too_often

BUILD = os.path.abspath(sys.argv[1])
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
tap, hits = Tap(), collections.Counter()


class Lab(Bed):
    def __init__(self, seed):
        super().__init__(BUILD, seed)
        watch = {"interval": "4m", "soak": "4m", "max_age": "40m", "on_fail": "halt", "when": "both"}
        self.prepare({"version": 1, "name": "kill", "patch": {"kb": "KB5061977"}, "waves": [2, "100%"],
                      "gates": [{"name": "cluster", "type": "cluster_health", "scope": "cluster", **watch}],
                      # Whether the balancer leaves room for one more loss is not what is tested here.
                      "waivers": [{"what": "reserve_none", "cluster": c, "person": "test", "ticket": "CHG-1"} for c in self.clusters],
                      "policy": {"reserve_min": "none", "planner_may_approve": True, "deviations_max": 500, "moves_per_vm": 6,
                                 "unreachable": "10h", "fresh": "15m", "timeout_factor": 10}})

    def go_on(self, kill_at=None):
        return self.controller("resume" if self.begun() else "run", "--on-hold", "exit", kill_at=kill_at)

    def count_phases(self):
        hits.update(phase for phase, in self.ask("SELECT phase FROM run_nodes"))


def wait_phase(lab, process, phase):
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        node = next((n for n, p in lab.phases().items() if p == phase), None)
        if node:
            return node
        time.sleep(0.02)
    return None


def disturb(lab, process, what, phase):
    node = wait_phase(lab, process, phase)
    if node is None:
        return False
    lab.count_phases()
    signal_all(lab.agent_pids(node) if what == "agent" else lab.session_pids(node))
    return True


def one_kill(lab, point):
    who, where = point.split(" ", 1)
    process = lab.go_on(where if who == "controller" else None)
    if who != "controller":
        ok = disturb(lab, process, who, where)
        time.sleep(1)
        process.kill()
        process.wait(30)
        tap.say(ok, f"{point}: reached", lab.log())
        return
    try:
        code = process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait(30)
    lab.count_phases()
    tap.say(code == -signal.SIGKILL, f"{point}: reached", f"exit code {code}\n{lab.log()}")


def check_journal(lab, node):
    twice = starts_too_often(lab.journal(node))
    tap.say(not twice, f"{node}: no op was started twice", twice)


def scenario(name, points, seed):
    lab = Lab(seed)
    try:
        for point in points:
            one_kill(lab, point)
        process = lab.go_on()
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = "none in time"
        tap.say(code == 0, f"{name}: resumed to the end, every node done", f"exit code {code}\n{lab.log()}")
        truth = lab.truth()
        for n in truth["nodes"]:
            # A second reboot may be due (the lab draws it): then it is an op of its own in the log.
            reboots = len(lab.ask("SELECT 1 FROM steps WHERE node = ? AND action = 'reboot' AND outcome = 'ok'", n["id"]))
            installs = len(lab.ask("SELECT 1 FROM steps WHERE node = ? AND action = 'install' AND outcome = 'ok'", n["id"]))
            # The lab's books count an install, and its finishing after each boot.
            tap.say((n["ubr"], n["boots"], n["servicings"], installs, n["paused"], n["on"]) == (4066, reboots, 1 + reboots, 1, False, True),
                f"{name}: {n['id']} was serviced once, booted as often as the log says, and is back", [n, reboots, installs])
        crashes = [r for r in truth["downtime"] if r["cause"] != "blackout" and r["subject"] == "vm"]
        tap.say(not crashes and not truth["damage"], f"{name}: no VM lost service", [crashes, truth["damage"]])
        for node in lab.nodes:
            check_journal(lab, node)
        tap.say("every command is the same again" in lab.patchwave("replay"), f"{name}: the whole log replays")
    finally:
        lab.end()


chosen = sys.argv[2:] or list(SCENARIOS)
for seed, name in enumerate(SCENARIOS):
    if name in chosen:
        try:
            scenario(name, SCENARIOS[name], 11 + seed)
        except (RuntimeError, OSError, subprocess.TimeoutExpired, ValueError, KeyError) as e:
            tap.say(False, f"{name}: could be played", e)
print("# hits per node phase: " + ", ".join(f"{p} {hits[p]}" for p in PHASES))
if chosen == list(SCENARIOS):
    for p in PHASES:
        tap.say(hits[p] > 0, f"phase {p} was hit")
sys.exit(tap.end())
