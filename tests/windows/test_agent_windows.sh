#!/usr/bin/env bash
# Build the Windows agent with mingw-w64 and run it under Wine.
bash tests/windows/programs.sh patchwave-agent toy-driver pipe-listener service-calls journal-on-disk || exit $(($? != 4))
exec python3 tests/windows/suite.py
