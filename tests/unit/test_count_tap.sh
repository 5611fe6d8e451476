#!/usr/bin/env bash
# The closing line of the test command is only as honest as the counting of its cases.
set -u
shopt -s lastpipe # so that `... | counts` counts
n=0 failed=0

counts() { # counts TITLE WANT < TAP
    local got
    got=$(awk -f tests/lib/count_tap.awk 2> /dev/null)
    n=$((n + 1))
    if [ "$got" = "$2" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        echo "# got \`$got\`, wanted \`$2\`"
        failed=1
    fi
}

printf '%s\n' '1..4' 'ok 1 - a' 'not ok 2 - b' '# why' 'ok 3 # SKIP no tool' 'not ok 4 # SKIP c' |
    counts "passed, failed, skipped; a skip is a skip in both spellings" "1 1 2"
printf '%s\n' 'ok 1 - a' 'ok 2 - b' '1..2' | counts "the plan may come last" "2 0 0"
printf '%s\n' '1..3' 'ok 1 - a' | counts "cases missing from the plan have failed" "1 2 0"
printf '%s\n' '1..1' 'ok 1 - a' 'ok 2 - b' | counts "more cases than the plan is a failure too" "2 1 0"
printf '' | counts "nothing is nothing" "0 0 0"
printf '%s\n' 'hello' 'okay 1' 'not okay' | counts "other output is no case" "0 0 0"
printf '%s\n' '3: 1..2' '4: 1..1' '3: ok 1 - a' '4: not ok 1 - z' '3: ok 2 - b' \
    '1/2 Test  #3: test_a ......   Passed    0.01 sec' '2/2 Test  #4: test_z ......***Failed    0.01 sec' |
    counts "programs of ctest may be mixed" "2 1 0"
printf '%s\n' '3: 1..5' '3: ok 1 - a' '1/1 Test #3: test_a ...***Exception: SegFault  0.01 sec' |
    counts "a crash fails the cases that did not come" "1 4 0"
printf '%s\n' '3: 1..1' '3: ok 1 - a' '1/1 Test #3: test_a ...***Failed  0.01 sec' |
    counts "a failure at the program's end is a failed case" "1 1 0"
printf '%s\n' '1/1 Test #3: test_a ...***Timeout  9.01 sec' | counts "a time-out without output has failed" "0 1 0"
printf '%s\n' '1/1 Test #3: test_a ...***Not Run  0.01 sec' | counts "a program that is missing has failed" "0 1 0"
printf '%s\n' '1/1 Test #3: test_a ....   Passed  0.01 sec' | counts "a program without TAP is one case" "1 0 0"
printf '%s\n' '1/1 Test #3: test_a ...***Skipped  0.01 sec' | counts "ctest's own skip" "0 0 1"
echo "1..$n"
exit $failed
