# Counts test cases in TAP, plain or as `ctest -V` prints it ("12: ok 1 - name"), and prints
# "PASSED FAILED SKIPPED" at the end. Failures, and what is said about them, go to /dev/stderr. A program that ends before
# its plan is fulfilled has failed the cases that are missing; one that ctest calls failed without a failed case has
# failed one; one that passes without any TAP is one passed case.
function say(text) { print text > "/dev/stderr" }

/^[ ]*[0-9]+\/[0-9]+ Test +#[0-9]+: / {
    match($0, /#[0-9]+/)
    test = substr($0, RSTART + 1, RLENGTH - 1)
    result[test] = $0
    tests[test] = 1
    next
}
{
    test = 0
    line = $0
    if (match(line, /^[0-9]+: /)) {
        test = substr(line, 1, RLENGTH - 2)
        line = substr(line, RLENGTH + 1)
    }
    tail[test] = tail[test] "  " line "\n"
}
line ~ /^1\.\.[0-9]+/ {
    tests[test] = 1
    plan[test] += substr(line, 4) + 0
    next
}
line ~ /^(not )?ok [0-9]+.*# *[Ss][Kk][Ii][Pp]/ {
    tests[test] = 1
    seen[test]++
    skipped++
    say("  SKIPPED: " line)
    next
}
line ~ /^ok [0-9]+/ {
    tests[test] = 1
    seen[test]++
    passed++
    bad = 0
    next
}
line ~ /^not ok [0-9]+/ {
    tests[test] = 1
    seen[test]++
    failed_in[test]++
    failed++
    bad = 1
    say("  FAILED: " line)
    next
}
line ~ /^#/ { if (bad) say("    " line); next }
{ bad = 0 }

END {
    for (test in tests) {
        ctest_failed = test in result && result[test] !~ / Passed /
        if (test in result && result[test] ~ /\*\*\*Skipped/) {
            skipped++
            say("  SKIPPED: " result[test])
            continue
        }
        missing = plan[test] - seen[test]
        if (missing > 0) {
            failed += missing
            say("  FAILED: ended with " missing " of " plan[test] " cases missing: " result[test])
        } else if (test in plan && missing < 0) {
            failed++
            say("  FAILED: more cases than the plan of " plan[test] ": " result[test])
        } else if (ctest_failed && !failed_in[test]) {
            failed++
            say("  FAILED: " result[test])
        } else if (test in result && !ctest_failed && !seen[test]) {
            passed++
        }
        if (missing > 0 || (ctest_failed && !failed_in[test]))
            say(substr(tail[test], length(tail[test]) > 4000 ? length(tail[test]) - 4000 : 1))
    }
    printf "%d %d %d\n", passed, failed, skipped
}
