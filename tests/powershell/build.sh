#!/bin/sh
# Build the PowerShell test host into pshost/bin and say where its program is.
set -e
cd "$(dirname "$0")"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_CLI_USE_MSBUILD_SERVER=0
dotnet build pshost -c Release -v q -nodeReuse:false --disable-build-servers -p:RestoreLockedMode=true >build.log 2>&1 ||
    { cat build.log >&2; rm -f build.log; exit 1; }
rm -f build.log
echo "$PWD/pshost/bin/Release/net10.0/pshost.dll"
