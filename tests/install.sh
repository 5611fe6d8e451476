#!/usr/bin/env bash
# Install the Debian packages that building and testing need: tests/install.sh [build] [demo] [tests] [checks] [windows]
# (no word: all of these), or bench, which only a benchmark's yardstick needs. What is there already is left alone. What each package is for: docs/dependencies.md.
set -u

build='cmake ninja-build gcc libc6-dev pkg-config libcjson-dev libsqlite3-dev libuv1-dev libssh2-1-dev'
demo='openssh-server openssh-client python3'
tests='libcmocka-dev clang libclang-rt-14-dev chrony python3-jsonschema sqlite3 iproute2 nftables procps'
checks='clang-format clang-tidy cppcheck ccache gcovr'
windows='gcc-mingw-w64-x86-64-win32 wine wine64 dpkg-dev tcl gcab cabextract osslsigncode'
bench='ansible-core'

wanted=
for group in "${@:-all}"; do
    case $group in
    all) wanted="$build $demo $tests $checks $windows" ;;
    build | demo | tests | checks | windows | bench) wanted="$wanted ${!group}" ;;
    *)
        echo "install.sh: no group \`$group\` (build, demo, tests, checks, windows, bench)" >&2
        exit 2
        ;;
    esac
done

if ! command -v apt-get > /dev/null; then
    echo "install.sh: this is not Debian: install these yourself: $wanted" >&2
    exit 1
fi
missing=
for package in $wanted; do
    case $(dpkg-query -W -f='${Status}' "$package" 2> /dev/null) in
    *' installed') ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

echo "install.sh: installing$missing"
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || {
        echo "install.sh: neither root nor sudo: install by hand:$missing" >&2
        exit 1
    }
    as_root=sudo
fi
$as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends $missing
