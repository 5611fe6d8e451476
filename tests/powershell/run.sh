#!/bin/sh
# The PowerShell suite (TAP). Needs the .NET SDK 10; without it the suite is skipped, loudly, and counts as skipped.
cd "$(dirname "$0")" || exit 1
if ! command -v dotnet > /dev/null 2>&1; then
    echo "1..1"
    echo "ok 1 - powershell # SKIP no dotnet: get the .NET SDK 10 (apt-get install dotnet-sdk-10.0, or https://dot.net)"
    exit 0
fi
if ! dll=$(./build.sh 2> pshost.log); then
    cat pshost.log >&2
    echo "1..1"
    if grep -qE 'NU1301|NU1101|NU1102|NETSDK1045' pshost.log; then
        echo "ok 1 - powershell # SKIP pshost cannot be built here: it needs the .NET SDK 10, and nuget.org (or a filled package folder) once"
        rm -f pshost.log
        exit 0
    fi
    rm -f pshost.log
    echo "not ok 1 - pshost builds"
    exit 1
fi
rm -f pshost.log
python3 suite.py "$dll" "$@"
rc=$?
[ $# = 0 ] || exit $rc
python3 suite_setup.py "$dll" || rc=1
# The same list of cases that holds the lab's driver (O39), on the lab's world.
if [ -x "${PW_BUILD_DIR:=$PWD/../../build/debug}/tests/conformance/conformance" ]; then
    export PW_BUILD_DIR
    ./with-pshost.sh "$dll" "$PW_BUILD_DIR/tests/conformance/conformance" "$PWD/fixture-hyperv" || rc=1
    ./mixed.sh "$dll" || rc=1
else
    echo "not ok - the conformance program is built in PW_BUILD_DIR ($PW_BUILD_DIR)"
    rc=1
fi
exit $rc
