#!/usr/bin/env bash
# Kill points with real processes (kill_points.py). Prints TAP.
exec python3 "$(dirname "$0")/kill_points.py" "${PW_BUILD_DIR:-build/debug}"
