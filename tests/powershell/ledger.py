#!/usr/bin/env python3
"""Compare the controller's downtime rows with the lab's truth: ledger.py PATCHWAVE.DB TRUTH.JSON WINDOWS_NODES

Every outage of a VM or of vmms that really was has its row, and every row really was, within what the row's way of measuring can
tell: events are exact to a tenth of a second; what was seen by looking is as exact as the looks were apart."""
import json
import sqlite3
import sys

STEP_MS = 100          # an event's own resolution (20415 tells tenths)
LOOK_MS = 5000         # two looks of a driver apart
EXACT = ("event", "events")


def rows(db):
    con = sqlite3.connect("file:%s?mode=ro" % db, uri=True)
    con.row_factory = sqlite3.Row
    return [dict(r) for r in con.execute("select * from downtime")]


def near(a, b, slack):
    return (a is None) == (b is None) and (a is None or abs(a - b) <= slack)


def main():
    # Moves that the balancer made are nobody's in the ledger; an op that told no outage stands there with length zero, and the truth
    # must not have one either.
    ledger = [r for r in rows(sys.argv[1]) if r["how"] != "no downtime reported" or r["start_at"] != r["end_at"]]
    truth = [t for t in json.load(open(sys.argv[2]))["downtime"] if not t.get("foreign")]
    windows = set(open(sys.argv[3]).read().split())
    left, bad, seen = list(truth), 0, {True: [], False: []}
    for r in ledger:
        if r["subject"] not in ("vm", "vmms"):
            continue
        slack = STEP_MS if r["how"].split(" ")[0] in EXACT else LOOK_MS
        hit = next((t for t in left if (t["subject"], t["id"], t["cause"]) == (r["subject"], r["id"], r["cause"])
                    and near(t["start_ms"], r["start_at"], slack) and near(t["end_ms"], r["end_at"], slack)), None)
        if hit is None:
            bad += 1
            print("no such outage:", {k: r[k] for k in ("subject", "id", "cause", "start_at", "end_at", "how")})
        else:
            left.remove(hit)
            seen[hit["node"] in windows].append(hit["cause"])
    for t in left:
        if t["subject"] in ("vm", "vmms"):
            bad += 1
            print("no row for:", t)
    print("%d rows from nodes of the Hyper-V driver, %d from the others, %d differ" % (len(seen[True]), len(seen[False]), bad))
    for kind in (True, False):
        causes = sorted(set(seen[kind]))
        print("%s: %s" % ("Hyper-V driver" if kind else "the others", ", ".join("%d %s" % (seen[kind].count(c), c) for c in causes)))
    sys.exit(1 if bad or not seen[True] or not seen[False] else 0)


main()

