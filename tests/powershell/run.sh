#!/bin/sh
# The PowerShell suite (TAP). Needs the .NET SDK 10; without it the suite is skipped, loudly, and counts as skipped.
cd "$(dirname "$0")" || exit 1
if ! command -v dotnet > /dev/null 2>&1; then
    echo "1..1"
    echo "ok 1 - powershell # SKIP no dotnet: get the .NET SDK 10 (apt-get install dotnet-sdk-10.0, or https://dot.net)"
    exit 0
fi
if ! dll=$(./build.sh); then
    echo "1..1"
    echo "not ok 1 - pshost builds (its packages come from nuget.org at the first build)"
    exit 1
fi
python3 suite.py "$dll" "$@"
rc=$?
[ $# = 0 ] || exit $rc
# The same list of cases that holds the lab's driver (O39), on the lab's world.
if [ -x "${PW_BUILD_DIR:=$PWD/../../build/debug}/tests/conformance/conformance" ]; then
    export PW_BUILD_DIR
    ./with-pshost.sh "$dll" "$PW_BUILD_DIR/tests/conformance/conformance" "$PWD/fixture-hyperv" || rc=1
else
    echo "not ok - the conformance program is built in PW_BUILD_DIR ($PW_BUILD_DIR)"
    rc=1
fi
exit $rc
