"""Does the ledger of a run equal the lab's truth, VM by VM? ledger_truth.py DB TRUTH.json; exit code 0 when it does.

What must agree is said at `ledger_faults` (tests/torture/history.py)."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "torture"))
from bed import ask  # noqa: E402
from history import LEDGER, ledger_faults, same  # noqa: E402


def main():
    truth = json.load(open(sys.argv[2], encoding="utf-8"))
    ledger = ask(sys.argv[1], LEDGER)
    closed = [r for r in truth["downtime"] if r["subject"] == "vm" and r["end_ms"] is not None]
    faults = ledger_faults(ledger, truth)
    lost = sum(r["end_ms"] - r["start_ms"] for r in closed if not r["foreign"])
    told = sum(row[3] - row[2] for row in ledger if any(same(row, true, truth["step_ms"]) for true in closed))
    print(f"# {len(closed)} true rows, {sum(r['foreign'] for r in closed)} of them foreign, {len(ledger)} in the ledger; "
          f"{lost} ms true, {told} ms told")
    for fault in faults[:20]:
        print(f"# {fault}")
    return 1 if faults or not closed else 0


sys.exit(main())
