#!/usr/bin/env python3
"""A small rollout over real IP that is lossy, slow, one-sided or gone: controller, router and lab in network namespaces of this test's
own, joined by veth; the router drops packets (nftables), queues them (tc) or loses its link. Each fault waits for a node's phase, and its
own counter of packets tells that it met any. Afterwards the history is judged as in real_runs.py. Prints TAP; needs root.

    netns.py BUILD_DIR
"""
import os
import shutil
import subprocess
import sys
import time

from bed import LIMIT_S, Bed, Tap
from history import History

NET = "10.77"  # seen by nobody outside the three namespaces
NODES = 4


def run(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done


class Net:
    """controller (10.77.0.1) - router - lab (10.77.1.2 and up)"""

    def __init__(self):
        self.controller, self.router, self.lab = (f"pw{os.getpid()}{x}" for x in "crl")
        self.made = []
        try:
            for ns in (self.controller, self.router, self.lab):
                run("ip", "netns", "add", ns)
                self.made.append(ns)
                run("ip", "-n", ns, "link", "set", "lo", "up")
            self.join(self.controller, "0", ["1"])
            self.join(self.lab, "1", [str(2 + i) for i in range(NODES)])
            run("ip", "netns", "exec", self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            self.nft("add table ip patchwave; add chain ip patchwave forward { type filter hook forward priority 0 ; }")
        except BaseException:
            self.end()
            raise

    def join(self, ns, third, lasts):
        here = f"to{third}"
        run("ip", "link", "add", here, "netns", self.router, "type", "veth", "peer", "name", "eth", "netns", ns)
        run("ip", "-n", self.router, "addr", "add", f"{NET}.{third}.254/24", "dev", here)
        for last in lasts:
            run("ip", "-n", ns, "addr", "add", f"{NET}.{third}.{last}/24", "dev", "eth")
        run("ip", "-n", self.router, "link", "set", here, "up")
        run("ip", "-n", ns, "link", "set", "eth", "up")
        run("ip", "-n", ns, "route", "add", "default", "via", f"{NET}.{third}.254")

    def inside(self, ns):
        return ["ip", "netns", "exec", ns]

    def nft(self, rules):
        run(*self.inside(self.router), "nft", rules)

    def drop(self, match):
        self.nft(f"add rule ip patchwave forward {match} counter drop")

    def dropped(self):
        """Packets dropped since the last `whole`."""
        listing = run(*self.inside(self.router), "nft", "list", "chain", "ip", "patchwave", "forward").stdout.split()
        return sum(int(listing[i + 1]) for i, w in enumerate(listing) if w == "packets")

    def whole(self):
        self.nft("flush chain ip patchwave forward")

    def link(self, state):
        run("ip", "-n", self.router, "link", "set", "to1", state)

    def queue(self, *how):
        return run("tc", "-n", self.router, "qdisc", "add", "dev", "to1", "root", *how, check=False).returncode == 0

    def queued(self):
        """Packets that the queue has held so far."""
        words = run("tc", "-n", self.router, "-s", "qdisc", "show", "dev", "to1").stdout.replace(",", " ").split()
        return int(words[words.index("pkt") - 1]) if "pkt" in words else 0

    def unqueue(self):
        run("tc", "-n", self.router, "qdisc", "del", "dev", "to1", "root", check=False)

    def end(self):
        for ns in self.made:
            run("ip", "netns", "del", ns, check=False)


def loss(net, _):
    net.drop("numgen random mod 100 < 30")
    time.sleep(2)
    return net.dropped()


def one_way(net, address):
    """What the node says is lost, what it is told arrives."""
    net.drop(f"ip saddr {address}")
    time.sleep(4)
    return net.dropped()


def partition(net, address):
    """Long enough for the controller to give the connection up, while the node's sshd still has it."""
    net.drop(f"ip daddr {address}")
    net.drop(f"ip saddr {address}")
    time.sleep(14)
    return net.dropped()


def link_down(net, _):
    net.link("down")
    time.sleep(3)
    net.link("up")
    return 1


def slow(net, _):
    """A third of a second late and some lost, or, where the kernel has no netem, through a narrow queue."""
    if not net.queue("netem", "delay", "300ms", "50ms", "loss", "5%"):
        net.queue("tbf", "rate", "256kbit", "burst", "3k", "latency", "2s")
    time.sleep(3)
    met = net.queued()
    net.unqueue()
    return met


FAULTS = [("draining", loss), ("installing", one_way), ("rebooting", slow), ("draining", link_down), ("installing", partition),
          ("draining", loss), ("rebooting", link_down)]


def rollout(bed):
    watch = {"interval": "4m", "soak": "4m", "max_age": "60m", "on_fail": "halt", "when": "both"}
    return {"version": 1, "name": "netns", "patch": {"kb": "KB5061977"}, "waves": [2, "100%"],
            "gates": [{"name": "cluster", "type": "cluster_health", "scope": "cluster", **watch}],
            "waivers": [{"what": "reserve_none", "cluster": c, "person": "test", "ticket": "CHG-1"} for c in bed.clusters],
            # A real second is five minutes here, and TCP takes seconds to come back.
            "policy": {"reserve_min": "none", "planner_may_approve": True, "deviations_max": 500, "moves_per_vm": 6, "unreachable": "6h",
                       "fresh": "60m", "timeout_factor": 20}}


def wait_phase(bed, process, phase, seen):
    """A node in that phase that has not been struck in it yet."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        for node, p in bed.phases().items():
            if p == phase and (node, p) not in seen:
                seen.add((node, p))
                return node
        time.sleep(0.02)
    return None


def play(tap, bed, net):
    bed.prepare(rollout(bed))
    addresses = {n["id"]: n["ssh"]["address"] for n in bed.inventory["nodes"]}
    process, seen = bed.controller("run", "--on-hold", "exit"), set()
    try:
        for phase, fault in FAULTS:
            node = wait_phase(bed, process, phase, seen)
            met = fault(net, addresses[node]) if node else 0
            net.whole()
            tap.say(met > 0, f"{fault.__name__} while {node} was {phase}: {met} packets met it", bed.log())
        code = process.wait(LIMIT_S)
        for _ in range(3):
            if code != 11:
                break
            process = bed.controller("resume", "--on-hold", "exit")
            code = process.wait(LIMIT_S)
    finally:
        process.kill()
        process.wait(30)
    tap.say(code == 0, "the run ends with every node done", f"exit code {code}\n{bed.log()}")
    wrong = History(bed, NODES).judge(code)
    tap.say(not wrong, "lab and journals say that everything was done once, on empty nodes, and no VM was lost", "\n".join(wrong))


def main():
    missing = [w for w in ("ip", "tc", "nft") if shutil.which(w) is None]
    if os.geteuid() != 0 or missing:
        print(f"ok 1 # SKIP network namespaces: {'needs root' if not missing else ' and '.join(missing) + ' not installed'}\n1..1")
        return 0
    try:
        net = Net()
    except RuntimeError as e:
        print(f"ok 1 # SKIP network namespaces: not allowed here: {e}\n1..1")
        return 0
    tap, bed = Tap(), None
    try:
        bed = Bed(sys.argv[1], 21, NODES, 300, net=f"{NET}.1", lab_in=net.inside(net.lab), controller_in=net.inside(net.controller))
        bed.rewrite_inventory(connect_limit="3s", idle_limit="3s")
        play(tap, bed, net)
    except (RuntimeError, OSError, subprocess.TimeoutExpired, KeyError) as e:
        tap.say(False, "the rollout could be played", e)
    finally:
        if bed is not None:
            bed.end()
        net.end()
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
