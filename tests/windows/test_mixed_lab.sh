#!/usr/bin/env bash
# A rollout over a lab of Windows nodes (under Wine) and Linux nodes.
bash tests/windows/programs.sh patchwave-agent lab-powershell || exit $(($? != 4))
exec python3 tests/windows/mixed_lab.py
