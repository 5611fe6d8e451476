#!/usr/bin/env bash
# programs.sh PROGRAM...: make Windows programs with mingw-w64. Code 0: they stand. Else it has said why in TAP: 4 without the tools
# (skipped, loudly), 1 when the build is broken.
set -u
for tool in x86_64-w64-mingw32-gcc wineserver dpkg-source ninja tclsh; do
    if ! command -v "$tool" > /dev/null; then
        echo "1..1"
        echo "ok 1 - windows # SKIP $tool is missing: tests/install.sh windows"
        exit 4
    fi
done
mkdir -p build
{ bash tests/windows/deps.sh && cmake --preset windows-mingw && ninja -C build/windows-mingw "$@"; } > build/windows-build.log 2>&1 && exit 0
echo "1..1"
echo "not ok 1 - build (build/windows-build.log)"
tail -n 20 build/windows-build.log | sed 's/^/# /'
exit 1
