#!/usr/bin/env bash
# A rollout over bad IP in network namespaces (netns.py). Prints TAP.
exec python3 "$(dirname "$0")/netns.py" "${PW_BUILD_DIR:-build/debug}"
