#!/bin/bash
# with-pshost.sh PSHOST.DLL COMMAND...: run the command with PSHOST_SOCKET set to a pshost of its own, which ends with it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dll=$1
shift
dir=$(mktemp -d)
export PSHOST_SOCKET=$dir/pshost.sock
coproc HOST { exec dotnet "$dll" serve "$PSHOST_SOCKET" "$here/surface" 2> "$dir/err"; }
pid=$HOST_PID
read -r ready <&"${HOST[0]}" || ready=
rc=1
if [ "$ready" = ready ]; then
    rc=0
    "$@" || rc=$?
fi
[ ! -s "$dir/err" ] || sed 's/^/# pshost: /' "$dir/err" >&2
exec {HOST[1]}>&-
wait "$pid" || true
rm -rf "$dir"
exit $rc
