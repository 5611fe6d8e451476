#!/usr/bin/env bash
# A slice of the seeded runs with real processes and faults (real_runs.py). Prints TAP.
exec python3 "$(dirname "$0")/real_runs.py" --build "${PW_BUILD_DIR:-build/debug}" --runs 12 --seed 1 --jobs 3 --tap
