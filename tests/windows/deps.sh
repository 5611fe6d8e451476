#!/usr/bin/env bash
# The libraries of the Windows agent, static, by mingw-w64, from Debian's source packages: build/windows-deps/{include,lib}.
# Needs gcc-mingw-w64-x86-64-win32, cmake, ninja, dpkg-dev, tclsh. Does nothing when they are there already.
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/build/windows-deps
work=$PWD/build/windows-deps-work
if [ -e "$out/lib/libuv_a.a" ] && [ -e "$out/lib/libcjson.a" ] && [ -e "$out/lib/libsqlite3.a" ]; then
    exit 0
fi
mkdir -p "$out/include" "$out/lib" "$work/apt/sources" "$work/apt/lists/partial" "$work/src"

# Source packages without touching the system's own lists.
if ls /etc/apt/sources.list.d/*.sources > /dev/null 2>&1; then
    sed 's/^Types: .*/Types: deb-src/' /etc/apt/sources.list.d/*.sources > "$work/apt/sources/src.sources"
else
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > "$work/apt/sources/src.list"
fi
apt=(apt-get -q -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$work/apt/sources" -o "Dir::State::lists=$work/apt/lists"
    -o APT::Sandbox::User=root)
wanted=
for name in libuv1 cjson sqlite3; do
    ls "$work/src/${name}_"*.dsc > /dev/null 2>&1 || wanted="$wanted $name"
done
if [ -n "$wanted" ]; then
    "${apt[@]}" update > "$work/apt.log" 2>&1
    # shellcheck disable=SC2086
    (cd "$work/src" && "${apt[@]}" source --download-only $wanted >> "$work/apt.log" 2>&1)
fi
for dsc in "$work"/src/*.dsc; do
    name=$(basename "$dsc" | cut -d_ -f1)
    [ -d "$work/$name" ] || dpkg-source -x "$dsc" "$work/$name" > /dev/null
done

toolchain=-DCMAKE_TOOLCHAIN_FILE=$PWD/cmake/mingw64.cmake
cmake -S "$work/libuv1" -B "$work/uv" -G Ninja "$toolchain" -DCMAKE_BUILD_TYPE=Release -DLIBUV_BUILD_TESTS=OFF \
    -DLIBUV_BUILD_BENCH=OFF > "$work/uv.log"
nice ninja -C "$work/uv" uv_a >> "$work/uv.log" 2>&1
cp "$work/uv/libuv_a.a" "$out/lib/"
cp -r "$work/libuv1/include/." "$out/include/"

x86_64-w64-mingw32-gcc -O2 -c "$work/cjson/cJSON.c" -o "$work/cJSON.o"
x86_64-w64-mingw32-ar rcs "$out/lib/libcjson.a" "$work/cJSON.o"
mkdir -p "$out/include/cjson"
cp "$work/cjson/cJSON.h" "$out/include/cjson/"
cp "$work/cjson/cJSON.h" "$out/include/"

if [ ! -e "$work/sqlite3/sqlite3.c" ]; then
    (cd "$work/sqlite3" && ./configure --disable-tcl && make sqlite3.c sqlite3.h) > "$work/sqlite.log" 2>&1
fi
nice x86_64-w64-mingw32-gcc -O2 -DSQLITE_THREADSAFE=1 -DSQLITE_OMIT_LOAD_EXTENSION -c "$work/sqlite3/sqlite3.c" -o "$work/sqlite3.o"
x86_64-w64-mingw32-ar rcs "$out/lib/libsqlite3.a" "$work/sqlite3.o"
cp "$work/sqlite3/sqlite3.h" "$out/include/"
