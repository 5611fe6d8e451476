#!/usr/bin/env bash
# Assertions are on in what is installed: no file is compiled with NDEBUG by any build type, and a program made with the release
# flags stops at a contract that is broken.
set -u
cc=$1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
n=0 failed=0

# tell TITLE: by the status of the command before
tell() {
    local rc=$?
    n=$((n + 1))
    if [ $rc = 0 ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        failed=1
    fi
}

for type in Release RelWithDebInfo MinSizeRel; do
    cmake -S . -B "$tree/$type" -G Ninja -DCMAKE_C_COMPILER="$cc" -DCMAKE_BUILD_TYPE=$type -DPW_TESTS=OFF > "$tree/log" 2>&1 &&
        [ "$(grep -c '"command"' "$tree/$type/compile_commands.json")" -gt 100 ] &&
        ! grep -q NDEBUG "$tree/$type/compile_commands.json"
    tell "$type compiles more than a hundred files, none with NDEBUG"
done

cat > "$tree/breaks.c" <<'C'
#include "schema/json.h"
int main(void)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &out);
    jw_object(&w, NULL);
    jw_array_end(&w); /* an array that was never begun */
    return 0;
}
C
flags=$(sed -n 's/.*"command": "[^ ]* \(.*\) -o [^ ]*json_write\.c\.o .*/\1/p' "$tree/Release/compile_commands.json" | head -n 1)
[ -n "$flags" ] && ninja -C "$tree/Release" schema/libschema.a > "$tree/log" 2>&1 &&
    # shellcheck disable=SC2086
    "$cc" $flags -I. "$tree/breaks.c" "$tree/Release/schema/libschema.a" -lcjson -o "$tree/breaks" > "$tree/log" 2>&1
tell "a program is made with the release flags"
"$tree/breaks" > "$tree/out" 2>&1
[ $? = 134 ] && grep -qi assert "$tree/out" # SIGABRT
tell "it stops at the contract it breaks"
[ $failed = 0 ] || sed 's/^/# /' "$tree/log" "$tree/out" | tail -n 20
echo "1..$n"
exit $failed
