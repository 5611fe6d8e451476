#!/usr/bin/env python3
"""Runs with real processes and faults, by seed: real controller, sshd and agents on 3 to 6 nodes of a lab, 1 to 5 faults each; after
each run its history is judged (history.py). A run in which no fault struck does not count.

    real_runs.py --runs 1000 --seed 1 --jobs 4            the long target
    real_runs.py --seed 77 --verbose                      one run again, told line by line
"""
import argparse
import collections
import concurrent.futures
import itertools
import multiprocessing
import os
import signal
import sys
import time

from bed import PHASES
from nemesis import FAULTS
from play import Options, Verdict, play


def one(options, seed):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what the run began is ended
    try:
        return play(options, seed)
    except Exception as e:  # the bed could not be made: that is a failure of the test, and is told as one
        v = Verdict(seed)
        v.wrong = [f"bed {type(e).__name__}: {e}"]
        return v


class Totals:
    def __init__(self):
        self.runs = self.idle = self.last = 0
        self.bad, self.states = [], collections.Counter()
        self.struck, self.phases = collections.Counter(), collections.Counter()
        self.cpu_s = 0.0

    def add(self, v):
        self.cpu_s += v.cpu_s
        self.bad += [v] if v.wrong else []
        if not v.struck and not v.wrong:
            self.idle += 1
            return
        self.runs += 1
        self.states[v.state] += 1
        self.struck.update(v.struck)
        self.phases.update(v.phases)

    def print(self, took_s):
        kinds = collections.Counter()
        for name, n in self.struck.items():
            kinds[name.split(" ")[0]] += n
        print(f"# faults struck: {sum(kinds.values())}: " + ", ".join(f"{k} {n}" for k, n in sorted(kinds.items())))
        print("# in detail: " + ", ".join(f"{k} {n}" for k, n in sorted(self.struck.items()) if " " in k))
        print("# hits per node phase: " + ", ".join(f"{p} {self.phases[p]}" for p in PHASES) +
              "".join(f", {p} {n}" for p, n in sorted(self.phases.items()) if p not in PHASES))
        print("# ended: " + ", ".join(f"{s} {n}" for s, n in sorted(self.states.items())))
        print(f"# {self.runs} runs with faults, {self.idle} without, {len(self.bad)} violated, in {took_s:.0f} s "
              f"({self.cpu_s / max(1, self.runs + self.idle):.1f} s of CPU each); the last seed was {self.last}", flush=True)


def options_of(a):
    low, _, high = a.nodes.partition("..")
    kinds = a.only.split(",") if a.only else None
    return Options(a.build, (int(low), int(high or low)), a.speed, kinds, (a.faults, a.faults) if a.faults else a.drawn, a.verbose, a.keep,
                   a.limit, a.calm, a.demo, a.span)


def again(a, seed):
    more = "".join(f" --{k} {getattr(a, k)}" for k in ("nodes", "speed", "only", "faults") if getattr(a, k) != a.defaults[k])
    return f"tests/torture/{os.path.basename(sys.argv[0])} --seed {seed}{more} --verbose"


def results(a, options, enough):
    """Verdicts as they come; no run is begun once there is enough, and those under way end."""
    seeds, running = itertools.count(a.seed), set()
    if a.jobs == 1:
        while not enough(0):
            yield one(options, next(seeds))
        return
    with concurrent.futures.ProcessPoolExecutor(a.jobs, multiprocessing.get_context("fork")) as pool:
        while running or not enough(0):
            while len(running) < a.jobs and not enough(len(running)):
                running.add(pool.submit(one, options, next(seeds)))
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            yield from (d.result() for d in done)


def campaign(a):
    """Seeds upwards until enough runs count, or the time is over, or somebody ends it: then those under way end first."""
    totals, begun, ended = Totals(), time.monotonic(), []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))

    def enough(under_way):
        late = ended or (a.minutes and time.monotonic() - begun > 60 * a.minutes)
        return late or totals.runs + under_way >= a.runs or (totals.bad and a.stop)

    for v in results(a, options_of(a), enough):
        totals.add(v)
        totals.last = max(totals.last, v.seed)
        if a.tap and (v.struck or v.wrong):
            print(f"{'not ok' if v.wrong else 'ok'} {totals.runs} - seed {v.seed}: {v.nodes} nodes, {', '.join(v.drawn)}: {v.state}")
        for text in v.wrong:
            print(f"# seed {v.seed}: {text}")
        if v.wrong:
            print(f"#   drawn: {', '.join(v.drawn)}\n#   again: {again(a, v.seed)}", flush=True)
        elif totals.runs % 10 == 0 and not a.tap:
            print(f"# {totals.runs} runs, {len(totals.bad)} violated, {time.monotonic() - begun:.0f} s", flush=True)
    totals.print(time.monotonic() - begun)
    return totals


def arguments(nodes, speed, **more):
    p = argparse.ArgumentParser()
    p.add_argument("--build", default=os.environ.get("PW_BUILD_DIR", "build/debug"))
    p.add_argument("--runs", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--minutes", type=float, default=0, help="stop after so many")
    p.add_argument("--nodes", default=nodes)
    p.add_argument("--speed", type=int, default=speed)
    p.add_argument("--faults", type=int, default=0, help="so many each (default: drawn)")
    p.add_argument("--only", help=f"of these kinds: {','.join(FAULTS)}")
    p.add_argument("--keep", help="folder for what violating runs leave")
    p.add_argument("--stop", action="store_true", help="at the first violation")
    p.add_argument("--verbose", action="store_true")
    p.add_argument("--tap", action="store_true")
    p.set_defaults(**more)
    a = p.parse_args()
    a.defaults = {k: p.get_default(k) for k in ("nodes", "speed", "only", "faults")}
    return a


def main():
    return verdict(arguments("3..6", 1200, limit=900, calm=25, span=8, drawn=(1, 5), demo=False))


def verdict(a):
    totals = campaign(a)
    if a.tap:
        print(f"1..{totals.runs}")
    return 1 if totals.bad or (not a.minutes and totals.runs < a.runs) else 0


if __name__ == "__main__":
    sys.exit(main())
