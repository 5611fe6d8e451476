#!/usr/bin/env bash
# Branch coverage of both cores by unit tests, scenarios and simulated rollouts: tests/coverage.sh [SEEDS] (1500). Prints a row per file
# with the lines whose branches are missing, and the sum. The false side of an assertion is no branch of ours: it is left out.
set -eu
cd "$(dirname "$0")/.."
seeds=${1:-1500}
cmake --preset coverage > /dev/null
cmake --build build/coverage -j "$(nproc)" > build/coverage/build.log
find build/coverage -name '*.gcda' -delete
ctest --test-dir build/coverage -L '^(unit|scenarios)$' -j "$(nproc)" > build/coverage/tests.log || {
    tail -n 20 build/coverage/tests.log >&2
    exit 1
}
for file in tests/sim/regressions/*.txt; do
    read -r options < "$file"
    # shellcheck disable=SC2086
    build/coverage/tests/sim/sim_patchwave $options --no-fork --quiet > build/coverage/sim.log
done
build/coverage/tests/sim/sim_patchwave --seeds "1..$seeds" --no-fork --quiet > build/coverage/sim.log
gcovr -r . --object-directory build/coverage -f '(orchestrator|agent)/core/.*' --exclude-unreachable-branches \
    --exclude-lines-by-pattern '\s*assert\(.*' -s -b build/coverage
