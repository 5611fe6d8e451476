#!/usr/bin/env bash
# Build the Windows agent with mingw-w64 and run it under Wine. Without the tools: skipped, loudly.
set -u
for tool in x86_64-w64-mingw32-gcc wineserver dpkg-source ninja tclsh; do
    if ! command -v "$tool" > /dev/null; then
        echo "1..0 # SKIP $tool is missing: tests/install.sh windows"
        exit 0
    fi
done
mkdir -p build
{ bash tests/windows/deps.sh && cmake --preset windows-mingw && ninja -C build/windows-mingw patchwave-agent toy-driver; } \
    > build/windows-build.log 2>&1 || {
    echo "not ok 1 - build (build/windows-build.log)"
    tail -n 20 build/windows-build.log | sed 's/^/# /'
    echo "1..1"
    exit 1
}
exec python3 tests/windows/suite.py
