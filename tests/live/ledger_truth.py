"""Does the ledger of a run equal the lab's truth, VM by VM? ledger_truth.py DB TRUTH.json; exit code 0 when it does.

Each closed row of the truth that the run caused must be in the ledger once, start and end within the truth's own step, and
the ledger may hold no other. What others did (the balancer, a fault) is no row of the run's."""
import json
import sqlite3
import sys


def rows_of_ledger(path):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    return db.execute("SELECT id, cause, start_at, end_at, op FROM downtime WHERE subject = 'vm' "
                      "AND (end_at IS NULL OR end_at > start_at)").fetchall()  # a step without downtime has a row of 0 ms


def same(row, true, step):
    return (row[0] == true["id"] and row[1] == true["cause"] and abs(row[2] - true["start_ms"]) <= step
            and row[3] is not None and abs(row[3] - true["end_ms"]) <= step)


def main():
    truth = json.load(open(sys.argv[2], encoding="utf-8"))
    ledger = rows_of_ledger(sys.argv[1])
    closed = [r for r in truth["downtime"] if r["subject"] == "vm" and r["end_ms"] is not None]
    faults = []
    spoken_for = set()
    for true in closed:
        hits = [i for i, row in enumerate(ledger) if same(row, true, truth["step_ms"])]
        spoken_for.update(hits)
        if not hits and not true["foreign"]:
            faults.append(f"not in the ledger: {true}")
    # an open row (a VM that is being parked) is closed by the one that names the same start
    for i, row in enumerate(ledger):
        closed_by = any(k != i and r[0] == row[0] and r[2] == row[2] and r[3] is not None for k, r in enumerate(ledger))
        if i not in spoken_for and not (row[3] is None and closed_by):
            faults.append(f"not in the truth: {row}")
    lost = sum(r["end_ms"] - r["start_ms"] for r in closed if not r["foreign"])
    told = sum(ledger[i][3] - ledger[i][2] for i in spoken_for)
    print(f"# {len(closed)} true rows, {sum(r['foreign'] for r in closed)} of them foreign, {len(ledger)} in the ledger; "
          f"{lost} ms true, {told} ms told")
    for fault in faults[:20]:
        print(f"# {fault}")
    return 1 if faults or not closed else 0


sys.exit(main())
