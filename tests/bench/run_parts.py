#!/usr/bin/env python3
"""Where the time of a recorded run went, from its log: one JSON line.

    run_parts.py DB [--world WORLD.DB]

The controller's log and the agents' journals carry stamps of one clock (fleet milliseconds; divided by the lab's factor they are real ones).
A step's time falls apart into
  order    from the event that leads to it to the agent's ACCEPT: the engine's decision, the log's commit, relay, the agent's commit
  journal  from ACCEPT to START
  driver   from START to DONE: what the node itself needs
  tell     from DONE to the controller's event: the agent's commit, relay
Medians, in milliseconds. `overhead_ms_per_step` is order + journal + tell; `overhead_s` the sum over all steps, of which many run side by side. With --world: from a node's
last boot (its sshd and agent begin to start) to its claim. `log_ms_per_entry`: the log's own entries appended once more to a new file, each in a
transaction of its own, WAL and FULL, on the same disk.
"""
import argparse
import json
import os
import sqlite3
import statistics
import time


def median(values):
    return round(statistics.median(values), 3) if values else None


def steps_of(db, factor):
    ordered, result = {}, {}
    for at, event, commands in db.execute("SELECT at, event, commands FROM log WHERE run IS NOT NULL ORDER BY seq"):
        event, commands = json.loads(event), json.loads(commands)
        for c in commands:
            if c.get("type") == "op_start":
                ordered.setdefault(c["op"], at)
        if event.get("type") == "op_result":
            r = event["record"]
            result.setdefault(r["op"], (at, r["accepted_ms"], r["started_ms"], r["ended_ms"]))
    parts = {"order": [], "journal": [], "driver": [], "tell": []}
    for op, (told, accepted, started, ended) in result.items():
        if op in ordered and 0 < ordered[op] <= accepted <= started <= ended <= told:
            for name, span in (("order", accepted - ordered[op]), ("journal", started - accepted), ("driver", ended - started),
                               ("tell", told - ended)):
                parts[name].append(span / factor)
    return parts


def claims_after_boot(db, world, factor):
    boots = dict(sqlite3.connect(f"file:{world}?mode=ro", uri=True).execute("SELECT id, boot_ms FROM nodes WHERE boots > 0"))
    spans = []
    for node, booted in boots.items():
        row = db.execute("SELECT min(at) FROM log WHERE kind = 'node_claimed' AND json_extract(event, '$.node') = ? AND at >= ?",
                         (node, booted)).fetchone()
        if row[0] is not None:
            spans.append((row[0] - booted) / factor)
    return spans


def log_again(db, path):
    rows = db.execute("SELECT seq, event, commands FROM log WHERE run IS NOT NULL").fetchall()
    copy = f"{path}.bench"
    out = sqlite3.connect(copy, isolation_level=None)
    out.execute("PRAGMA journal_mode = WAL")
    out.execute("PRAGMA synchronous = FULL")
    out.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, event TEXT, commands TEXT)")
    begin, cpu = time.monotonic(), time.process_time()
    for row in rows:
        out.execute("BEGIN IMMEDIATE")
        out.execute("INSERT INTO log VALUES (?, ?, ?)", row)
        out.execute("COMMIT")
    took, used = time.monotonic() - begin, time.process_time() - cpu
    out.close()
    for end in ("", "-wal", "-shm"):
        if os.path.exists(copy + end):
            os.unlink(copy + end)
    return len(rows), took * 1000 / max(len(rows), 1), used * 1000 / max(len(rows), 1)


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("db")
    ask.add_argument("--world")
    args = ask.parse_args()
    db = sqlite3.connect(f"file:{args.db}?mode=ro", uri=True)
    inventory = json.loads(db.execute("SELECT event FROM log WHERE kind = 'inventory' ORDER BY seq DESC LIMIT 1").fetchone()[0])["inventory"]
    factor = inventory.get("clock", {}).get("factor", 1)
    parts = steps_of(db, factor)
    entries, log_ms, log_cpu_ms = log_again(db, args.db)
    n = len(parts["order"])
    own = [sum(p) for p in zip(parts["order"], parts["journal"], parts["tell"])]
    out = {"steps": n, "log_entries": entries, "log_ms_per_entry": round(log_ms, 3),
           "log_cpu_ms_per_entry": round(log_cpu_ms, 3), **{f"{name}_ms": median(spans) for name, spans in parts.items()},
           "overhead_ms_per_step": median(own), "overhead_s": round(sum(own) / 1000, 3)}
    if args.world:
        spans = claims_after_boot(db, args.world, factor)
        out |= {"boots": len(spans), "boot_to_claim_ms": median(spans), "boot_to_claim_max_ms": round(max(spans), 1) if spans else None}
    print(json.dumps(out))


main()
