#!/usr/bin/env bash
# Plain sshd daemons for benchmarks: N nodes, each on an address of its own in 127.9.0.0/16, one port, one host key, one user key.
#   sshd_fleet.sh start DIR N [PORT]    writes DIR/nodes (one address per line), DIR/id (the user's key), DIR/known_hosts
#   sshd_fleet.sh stop DIR              ends them by pid
set -euo pipefail

start() {
    local dir=$1 n=$2 port=${3:-2209}
    mkdir -p "$dir" /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f "$dir/host" <<<y >/dev/null
    ssh-keygen -q -t ed25519 -N '' -f "$dir/id" <<<y >/dev/null
    cp "$dir/id.pub" "$dir/authorized"
    : >"$dir/nodes"; : >"$dir/known_hosts"; : >"$dir/pids"
    # SHLVL: bash, started by sshd, would else read the user's ~/.bashrc for each command.
    for ((i = 1; i <= n; i++)); do
        local address=127.9.$((i / 250)).$((i % 250 + 1))
        printf '%s\n' "$address" >>"$dir/nodes"
        printf '[%s]:%s %s\n' "$address" "$port" "$(cut -d' ' -f1,2 "$dir/host.pub")" >>"$dir/known_hosts"
        /usr/sbin/sshd -D -f /dev/null -h "$dir/host" -o Port="$port" -o ListenAddress="$address" -o AuthorizedKeysFile="$dir/authorized" \
            -o StrictModes=no -o UsePAM=no -o PasswordAuthentication=no -o PidFile=none -o MaxStartups=200 -o PrintMotd=no -o SetEnv=SHLVL=9 \
            >/dev/null 2>>"$dir/sshd.log" &
        echo $! >>"$dir/pids"
    done
    for ((i = 0; i < 200; i++)); do # the last one listens: all were started in order
        (exec 3<>"/dev/tcp/$(tail -n 1 "$dir/nodes")/$port") 2>/dev/null && return 0
        sleep 0.05
    done
    echo "sshd_fleet.sh: the last sshd does not listen; see $dir/sshd.log" >&2
    return 1
}

stop() {
    while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$1/pids"
}

"$@"
