#!/usr/bin/env bash
# Does the tree keep its rules? Each rule is one TAP case; what breaks it is listed below it.
set -u
shopt -s lastpipe # so that `... | rule` counts
cd "$(dirname "$0")/../.." || exit 1
build=${PW_BUILD_DIR:-build/debug}
jobs=${PW_JOBS:-2}
n=0 bad=0

tree() { git ls-files -co --exclude-standard -- "$@" | while read -r f; do [ -f "$f" ] && echo "$f"; done; }

rule() { # rule TITLE: reads the violations on stdin; none is ok
    local found
    found=$(cat)
    n=$((n + 1))
    if [ -z "$found" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        head -n 60 <<< "$found" | sed 's/^/# /'
        bad=1
    fi
}

needs() { # needs TOOL TITLE: false, and a skipped case, when the tool is missing
    command -v "$1" > /dev/null && return
    n=$((n + 1))
    echo "ok $n # SKIP $2: $1 is not installed"
    return 1
}

tree '*.c' '*.h' | sed 's:.*/::' | grep -vx 'main\.c' | sort | uniq -d | rule "names of C files are unique"

find "$build" -name '*.o' -path '*.dir*' ! -path '*/tests/*' ! -path '*/sim-variants/*' -print0 | xargs -0 -r nm -g --defined-only 2> /dev/null |
    awk '$2 == "T" { print $3 }' | grep -vx main | sort | uniq -d | rule "names of extern functions are unique"

tree '*.c' '*.h' '*.sh' '*.cmake' '*CMakeLists.txt' '*.ps1' '*.psm1' '*.py' '*.sql' '*.md' |
    grep -vx 'tests/house/run.sh' | xargs -r grep -nE '\b(TODO|FIXME|XXX|HACK)\b' |
    rule "no unfinished work is marked"

# schema <- core <- io <- commands, and the two programs meet in schema/ only; core is checked by the build
includes() { tree "$@" | xargs -r grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"'; }
{
    includes 'schema/*.[ch]' | grep -v '"schema/'
    includes 'orchestrator/core/*.[ch]' | grep -vE '"(schema|orchestrator/core)/'
    includes 'orchestrator/io/*.[ch]' | grep -vE '"(schema|orchestrator/(core|io))/'
    includes 'orchestrator/*.[ch]' | grep -vE '"(schema|orchestrator)/'
    includes 'agent/core/*.[ch]' | grep -vE '"(schema|agent/core)/'
    includes 'agent/io/*.[ch]' | grep -vE '"(schema|agent/(core|io))/'
    includes 'agent/*.[ch]' | grep -vE '"(schema|agent)/'
} | rule "includes go one way: schema, core, io, commands"

perl tests/sim/mutants/plant.pl tests/sim/mutants/list.txt --check . 2>&1 | rule "every planted bug has its place in the sources"

tree '*.sh' 'tests/*/run.sh' '.ci/run' | sort -u | while read -r f; do bash -n "$f" 2>&1; done |
    rule "shell scripts parse"

# shellcheck disable=SC2046
(
    eval "$(sed -n "/^build=/,/^\$/p" tests/install.sh)"
    # the four lists are variables of the line above
    for package in $build $demo $tests $checks $windows; do
        grep -qF "\`$package\`" docs/dependencies.md || echo "docs/dependencies.md does not explain $package"
    done
) | rule "every installed package is explained"

if needs clang-format "formatting"; then
    tree '*.c' '*.h' | xargs -r clang-format --dry-run 2>&1 | grep -oE '^[^:]+:[0-9]+' | sort -u -t: -k1,1 |
        sed 's/$/: not formatted/' | rule "clang-format has nothing to change"
fi

if needs cppcheck "cppcheck"; then
    # list_grow hands its memory on through a copy of bytes, which cppcheck cannot follow
    cppcheck --project="$build/compile_commands.json" -j "$jobs" -q --inline-suppr --std=c11 \
        --enable=warning,performance,portability --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
        --suppress=unknownMacro --suppress=memleak:*schema/list.c --template='{file}:{line}: {severity}: {message} [{id}]' 2>&1 | rule "cppcheck"
fi

if needs clang-tidy "clang-tidy"; then
    cmake --preset clang > /dev/null 2>&1
    tree 'schema/*.c' 'orchestrator/*.c' 'agent/*.c' 'examples/*.c' | grep -v '_win\(_[a-z]*\)\?\.c$' |
        xargs -r -P "$jobs" -n 8 clang-tidy -p build/clang --quiet 2> /dev/null |
        grep -E ': (warning|error): ' | sort -u | rule "clang-tidy"
fi

echo "1..$n"
exit $bad
