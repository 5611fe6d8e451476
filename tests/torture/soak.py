#!/usr/bin/env python3
"""The soak: runs as real_runs.py has them, with all 72 nodes of the lab, the demo's waves and gates, and 6 to 24 faults each.

    soak.py --runs 20 --seed 1                            the long target
    soak.py --seed 3 --verbose                            one run again, told line by line
"""
import sys

from real_runs import arguments, verdict

if __name__ == "__main__":
    sys.exit(verdict(arguments("72", 360, limit=3600, calm=240, span=120, drawn=(6, 24), demo=True)))
