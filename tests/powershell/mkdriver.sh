#!/bin/sh
# mkdriver.sh FOLDER PSRUN PSHOST_SOCKET WORLD: make FOLDER a driver folder whose actions are agent/drivers/hyperv's own scripts, run
# by a persistent pshost over WORLD ("hvlab:/path/driver.sock"). Only the program of each argv differs from the real driver.json.
set -eu
folder=$1 psrun=$2 socket=$3 world=$4
scripts=$(cd "$(dirname "$0")/../../agent/drivers/hyperv" && pwd)
mkdir -p "$folder"
ln -sf "$psrun" "$folder/psrun"
printf '%s\n%s\n%s\n' "$socket" "$world" "$scripts" > "$folder/psrun.conf"
sed 's/"argv": \["[^"]*powershell\.exe"/"argv": [".\/psrun"/' "$scripts/driver.json" > "$folder/driver.json"
