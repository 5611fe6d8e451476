#!/usr/bin/env bash
# docs/rules.md against the tree: rules cited anywhere have a row, files named in a row are there. Prints TAP.
set -u
shopt -s lastpipe # so that `... | case_of` counts
bad=0 n=0
case_of() { # case_of TITLE: what is on standard input is wrong
    local found
    found=$(cat)
    n=$((n + 1))
    if [ -z "$found" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' <<< "$found"
        bad=1
    fi
}
sources() { git ls-files -co --exclude-standard -- '*.c' '*.h' '*.ps1' '*.psm1' | while read -r f; do [ -f "$f" ] && echo "$f"; done; }
rows=$(grep -oE '^\| [COIP][0-9]+ ' docs/rules.md | tr -d '| ' | sort)

comm -13 <(sort -u <<< "$rows") <(sources | xargs grep -hoE '\b(C[1-9]|P[1-9]|O[1-9]|O[1-3][0-9]|I[1-9]|I[1-3][0-9])\b' | sort -u) |
    case_of "every rule that is cited has a row"
uniq -d <<< "$rows" | case_of "no rule has two rows"
names=$(sources | sed 's:.*/::'; git ls-files -co --exclude-standard -- '*.sh' '*.py' '*.sql' | sed 's:.*/::')
grep -E '^\| [COIP][0-9]+ ' docs/rules.md | grep -oE '`[a-z_0-9A-Z-]+\.(c|h|ps1|psm1|sh|py|sql)`' | tr -d '`' | sort -u |
    comm -23 - <(sort -u <<< "$names") | case_of "every file that a row names is there"
echo "1..$n"
exit $bad
