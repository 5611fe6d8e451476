#!/bin/sh
# mkdriver.sh FOLDER PSRUN PSHOST_SOCKET WORLD [SPEED]: make FOLDER a driver folder whose actions are agent/drivers/hyperv's own scripts, run
# by a persistent pshost over WORLD ("hvlab:/path/driver.sock"). Against the real driver.json, the program of each argv differs, and in a
# fleet that runs SPEED times faster each limit is longer by 20 real seconds: the engine that runs the scripts is not faster there.
set -eu
folder=$1 psrun=$2 socket=$3 world=$4 speed=${5:-1}
scripts=$(cd "$(dirname "$0")/../../agent/drivers/hyperv" && pwd)
mkdir -p "$folder"
ln -sf "$psrun" "$folder/psrun"
printf '%s\n%s\n%s\n' "$socket" "$world" "$scripts" > "$folder/psrun.conf"
sed 's/"argv": \["[^"]*powershell\.exe"/"argv": [".\/psrun"/' "$scripts/driver.json" |
    awk -v more=$(((speed - 1) * 20000)) '{
        if (match($0, /"limit_ms": [0-9]+/)) {
            limit = substr($0, RSTART + 12, RLENGTH - 12) + more
            $0 = substr($0, 1, RSTART + 11) limit substr($0, RSTART + RLENGTH)
        }
        print
    }' > "$folder/driver.json"
