#!/usr/bin/env python3
"""Record the histories of an engine revision, once: record.py SIM_PATCHWAVE FOLDER [SEEDS]

Plays simulated rollouts (with --nodes 6 --vms 16), seed by seed, and keeps for each story below the shortest log of at least 60 entries
that tells it, each from a seed of its own, as FOLDER/NAME.gz: the plan, then every event with the engine's commands below it. A folder that is there is left alone: what an engine
decided once is evidence (CONTRIBUTING.md, "Recorded histories").
"""
import gzip
import json
import os
import subprocess
import sys
import tempfile

# A history's traits are words such as "verb:abort"; a story needs all of its own, and none that it names with "!".
STORIES = {
    "finished": ["end:every wave has passed", "!ev:verb", "!ev:controller_start", "obs:cluster", "obs:time"],
    "finished-rehearsed": ["policy:rehearse", "end:every wave has passed", "op:uninstall"],
    "finished-parked": ["end:every wave has passed", "op:park_vm", "op:unpark_vm"],
    "finished-storage": ["end:every wave has passed", "op:storage_out", "op:storage_in"],
    "finished-resumed": ["start:resume", "end:every wave has passed"],
    "finished-takeover": ["start:takeover", "end:every wave has passed"],
    "not-removable": ["end:the rehearsal found the package not remo"],
    "rolled-back-by-operator": ["verb:rollback", "op:uninstall"],
    "rolled-back-by-gate": ["gate-failed-after", "op:uninstall", "!verb:rollback", "!policy:rehearse"],
    "halted-gate-before-wave": ["gate-failed-before"],
    "halted-gate-after-wave": ["gate-failed-after", "!op:uninstall"],
    "aborted": ["end:aborted by"],
    "aborted-by-force-returned": ["end:closed by force", "verb:return"],
    "aborted-takeover": ["start:takeover", "end:closed by force"],
    "unknown-decided-done": ["verb:decide:done"],
    "unknown-decided-not-done": ["verb:decide:not_done"],
    "unknown-witnessed": ["witness:done", "op_unknown"],
    "held-gate-promoted": ["verb:promote"],
    "held-window": ["end:no change window is open"],
    "paused-resumed": ["verb:pause", "verb:resume"],
    "retried": ["verb:retry"],
    "set-aside": ["verb:set-aside"],
    "failure-budget": ["end:the failure budget is spent"],
    "host-key-changed": ["refused:hostkey"],
    "staging-full": ["staged:false"],
    "install-failed": ["err:install"],
    "move-refused": ["err:move_vm"],
    "deviation": ["note:deviation", "end:every wave has passed"],
}
ENTRIES_MIN = 60
SEEDS = 2500


def gate_traits(text):
    if text.startswith("gate ") and " is fail" in text:
        yield "gate-failed-before" if " before wave " in text else "gate-failed-after"


def event_traits(e):
    kind = e["type"]
    yield "ev:" + kind
    if kind == "controller_start":
        yield "start:takeover" if e["takeover"] else "start:resume"
    if kind == "verb":
        yield "verb:" + e["verb"]
        if e["verb"] == "decide":
            yield f"verb:decide:{e['decision']}"
    if kind == "observed" and e["ok"]:
        yield "obs:" + e["what"]
    if kind == "op_result":
        r = e["record"]
        yield "witness:" + r["witness"]
        if r["state"] == "unknown":
            yield "op_unknown"
        if "error" in r and "action" in r:
            yield "err:" + r["action"]
    if kind == "node_refused":
        yield "refused:" + e["code"]
    if kind == "staged" and not e["ok"]:
        yield "staged:false"


def command_traits(c):
    if c["type"] == "op_start":
        yield "op:" + c["action"]
    if c["type"] == "note":
        yield "note:" + c["note"]
        yield from gate_traits(c["text"])
    if c["type"] == "end":
        text = c.get("text", "")
        yield "end:" + text
        yield from gate_traits(text)


def traits(text):
    lines = text.splitlines()
    found = set()
    if json.loads(lines[0])["rollout"].get("policy", {}).get("rehearse"):
        found.add("policy:rehearse")
    for event, commands in zip(lines[1::2], lines[2::2]):
        found.update(event_traits(json.loads(event)))
        for c in json.loads(commands):
            found.update(command_traits(c))
    return found


def tells(found, story):
    return all(
        not any(t.startswith(want[1:]) for t in found) if want[0] == "!" else any(t.startswith(want) for t in found) for want in story
    )


def take(best, seed, text):
    """The log goes to one story: one that has none yet, else one whose log is longer."""
    wanting = [n for n in STORIES if n not in best] + [n for n in STORIES if n in best and len(text) < len(best[n][1])]
    if text.count("\n") // 2 < ENTRIES_MIN or not wanting:
        return
    if '"type":"handover"' in text:  # a part of it is decided as another revision
        return
    found = traits(text)
    for name in wanting:
        if tells(found, STORIES[name]):
            best[name] = (seed, text)
            return


def project(sim, folder):
    """What the projections held in between: only the revision that decided it can say (test_takeovers)."""
    tool = os.path.join(os.path.dirname(sim), "..", "histories", "history_takeover")
    at = os.path.join(os.path.dirname(os.path.abspath(folder)), "projected", os.path.basename(os.path.abspath(folder)))
    os.makedirs(at, exist_ok=True)
    for name in sorted(os.listdir(folder)):
        with tempfile.NamedTemporaryFile() as log, open(os.path.join(folder, name), "rb") as f:
            log.write(gzip.decompress(f.read()))
            log.flush()
            said = subprocess.run([tool, "project", log.name], stdout=subprocess.PIPE, check=True).stdout
        with open(os.path.join(at, name), "wb") as f:
            f.write(gzip.compress(said, 9, mtime=0))


def main(sim, folder, seeds):
    if os.path.exists(folder):
        sys.exit(f"{folder} is there, and a recorded history is never recorded again")
    best = {}
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "history")
        for seed in range(1, seeds + 1):
            if os.path.exists(path):
                os.unlink(path)
            played = subprocess.run(
                [sim, "--seed", str(seed), "--nodes", "6", "--vms", "16", "--quiet", "--no-fork", "--history", path],
                stdout=subprocess.DEVNULL,
            )
            if played.returncode != 0:
                print(f"seed {seed} breaks an invariant: not taken", file=sys.stderr)
            if played.returncode != 0 or not os.path.exists(path):
                continue
            with open(path, encoding="utf-8") as f:
                text = f.read()
            take(best, seed, text)
    missing = [n for n in STORIES if n not in best]
    if missing:
        sys.exit(f"no seed up to {seeds} tells: {', '.join(missing)}")
    os.makedirs(folder)
    for name, (seed, text) in best.items():
        with open(os.path.join(folder, name + ".gz"), "wb") as f:
            f.write(gzip.compress(text.encode(), 9, mtime=0))
        print(f"{name}: seed {seed}, {text.count(chr(10)) // 2} entries")
    project(sim, folder)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else SEEDS)
