#!/usr/bin/env bash
# A slice of kill_points.sh: the controller dies, and dies again while it recovers (PW_SIM_KILL_EVERY=1: at each place, minutes).
exec "$(dirname "$0")/kill_points.sh" -e "${PW_SIM_KILL_EVERY:-31}"
