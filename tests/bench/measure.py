#!/usr/bin/env python3
"""Run a command and print what it and every descendant cost, as one JSON line on standard output.

    measure.py [--settle SECONDS] [--memory] COMMAND [ARG ...]

Becomes a subreaper, so that helpers which detach themselves (ssh's ControlPersist masters) are waited for and their CPU is counted; those
that still live SETTLE seconds after the command ended are asked to end (SIGTERM). Wall time ends with the command itself.
The command's own output goes to standard error. --memory: looks at the command's own memory every quarter second (Pss: what is shared counts in
parts), and adds the most that was seen.
"""
import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

PR_SET_CHILD_SUBREAPER = 36


def children_of(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    if int(f.read().rsplit(")", 1)[1].split()[1]) == pid:
                        found.append(int(entry))
            except (OSError, IndexError, ValueError):
                pass
    return found


def reap_all(settle_s):
    """Wait for every adopted descendant; after settle_s end them."""
    until = time.monotonic() + settle_s
    ended = False
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            continue
        if time.monotonic() > until and not ended:
            for child in children_of(os.getpid()):
                os.kill(child, signal.SIGTERM)
            ended = True
        time.sleep(0.02)


class Memory(threading.Thread):
    """The most that a process was seen to have, in KiB of Pss."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most_kib = pid, 0

    def run(self):
        while True:
            try:
                with open(f"/proc/{self.pid}/smaps_rollup") as f:
                    kib = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            except (OSError, StopIteration):
                return
            self.most_kib = max(self.most_kib, kib)
            time.sleep(0.25)


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("--settle", type=float, default=0.5)
    ask.add_argument("--memory", action="store_true")
    ask.add_argument("command", nargs=argparse.REMAINDER)
    args = ask.parse_args()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("measure.py: cannot become a subreaper")
    begin = time.monotonic()
    process = subprocess.Popen(args.command, stdout=sys.stderr, start_new_session=False)
    memory = Memory(process.pid)
    if args.memory:
        memory.start()
    code = process.wait()
    wall_s = time.monotonic() - begin
    reap_all(args.settle)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    more = {"pss_max_kib": memory.most_kib} if args.memory else {}
    print(json.dumps({"wall_s": round(wall_s, 3), "user_s": round(used.ru_utime, 3), "sys_s": round(used.ru_stime, 3),
                      "cpu_s": round(used.ru_utime + used.ru_stime, 3), "max_rss_kib": used.ru_maxrss, **more, "exit": code}))
    sys.exit(code)


main()
