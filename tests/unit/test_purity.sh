#!/usr/bin/env bash
# The check that keeps core pure can fail: each forbidden way in is tried on a small tree.
set -u
cc=$1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/schema" "$tree/orchestrator/core" "$tree/orchestrator/io" "$tree/agent/core" "$tree/out"
pure='assert.h;ctype.h;errno.h;inttypes.h;limits.h;stdalign.h;stdarg.h;stdbool.h;stddef.h;stdint.h;stdlib.h;string.h'
n=0 failed=0

# check TITLE WANT-IN-OUTPUT ('' : it passes) LINE...: a core file with these lines
check() {
    local title=$1 want=$2 out rc
    shift 2
    printf '%s\n' "$@" 'int unused;' > "$tree/orchestrator/core/a.c"
    out=$(cmake -DNAME=core -DCC="$cc" -DROOT="$tree" -DSOURCES="$tree/orchestrator/core/a.c" \
        -DFOLDERS="schema;orchestrator/core" -DSTANDARD="$pure" -DSTAMP="$tree/out/core.ok" \
        -P cmake/check_includes.cmake 2>&1)
    rc=$?
    n=$((n + 1))
    if { [ -z "$want" ] && [ $rc = 0 ]; } || { [ -n "$want" ] && [ $rc != 0 ] && grep -qF -- "$want" <<<"$out"; }; then
        echo "ok $n - $title"
    else
        echo "not ok $n - $title"
        printf '%s\n' "rc $rc, wanted: $want" "$out" | sed 's/^/# /'
        failed=1
    fi
}

printf '#include <stdint.h>\n' > "$tree/schema/good.h"
printf '#include "schema/good.h"\n' > "$tree/orchestrator/core/near.h"
printf '#include <time.h>\n' > "$tree/schema/leaky.h"
printf 'int io;\n' > "$tree/orchestrator/io/store.h"
printf 'int other;\n' > "$tree/agent/core/op_sm.h"
mkdir "$tree/schema/deep"
printf 'int deep;\n' > "$tree/schema/deep/d.h"

check "all pure headers pass" "" '#include "schema/good.h"' '#include "orchestrator/core/near.h"' \
    '#include <assert.h>' '#include <ctype.h>' '#include <errno.h>' '#include <inttypes.h>' '#include <limits.h>' \
    '#include <stdalign.h>' '#include <stdarg.h>' '#include <stdbool.h>' '#include <stddef.h>' \
    '#include <stdlib.h>' '#include <string.h>'
for header in stdio.h time.h unistd.h sys/types.h sys/socket.h fcntl.h pthread.h signal.h locale.h bits/types.h; do
    check "<$header> is refused" "orchestrator/core/a.c includes <$header>" "#include <$header>"
done
for header in uv.h sqlite3.h libssh2.h cjson/cJSON.h; do
    check "<$header> is refused" "is not pure" "#include <$header>"
done
check "io is refused" "sees orchestrator/io/store.h" '#include "orchestrator/io/store.h"'
check "io by a relative path is refused" "sees orchestrator/io/store.h" '#include "../io/store.h"'
check "the other program's core is refused" "sees agent/core/op_sm.h" '#include "agent/core/op_sm.h"'
check "a subfolder is not the folder" "sees schema/deep/d.h" '#include "schema/deep/d.h"'
check "a leak through a schema header is seen" "schema/leaky.h includes <time.h>" '#include "schema/leaky.h"'
check "an include by macro is refused" "includes by a macro" '#define H <stdint.h>' '#include H'
check "an include in a condition is refused" "includes <stdio.h>" '#if 0' '# include <stdio.h>' '#endif'
check "a quoted system header is refused" "which no allowed standard header brings in" '#include "stdio.h"'
echo "1..$n"
exit $failed
