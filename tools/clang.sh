#!/bin/sh
# clang.sh KIND - names the clang that can do KIND, found by trying each that is here: 19 first (what the tests run), then newer.
#   wasm: "CLANG WASM-LD", which make our modules with wasi-libc's library in WASI_LIB
#   san:  "CLANG", which has the sanitizers and libFuzzer
# Prints nothing, and why on standard error, where none can. The Makefile and tools/setup.sh ask it.
set -u
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT
lib=${WASI_LIB:-/usr/lib/wasm32-wasi}
tried=

cat > "$here/wasm.c" <<'C'
#include <math.h>
#include <string.h>
#include <wasm_simd128.h>
v128_t madd(v128_t a, v128_t b, v128_t c) { return wasm_f32x4_relaxed_madd(a, b, c); }
double power(double a, double b) { return pow(a, b); }
C
cat > "$here/san.c" <<'C'
#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) { return n > 3 && p[0] == 'x'; }
C

links() { # WASM-LD: links wasm.o as the Makefile links its modules
    command -v "$1" >/dev/null 2>&1 &&
        "$1" --no-entry --shared-memory --import-memory --max-memory=4294967296 --no-check-features --export=power "-L$lib" \
             -o "$here/out.wasm" "$here/wasm.o" -lc 2>>"$here/log"
}
can_wasm() { # CLANG SUFFIX
    "$1" --target=wasm32-wasi -O1 -msimd128 -mrelaxed-simd -matomics -mbulk-memory -c -o "$here/wasm.o" "$here/wasm.c" 2>>"$here/log" || return 1
    for ld in "wasm-ld$2" wasm-ld; do
        if links "$ld"; then echo "$1 $ld"; return 0; fi
    done
    echo "$1: no wasm-ld$2 (package lld$2) that links" >> "$here/log"
    return 1
}
can_san() { # CLANG
    "$1" -fsanitize=fuzzer,address,undefined -o "$here/out" "$here/san.c" 2>>"$here/log" && echo "$1"
}

for suffix in -19 -20 -21 -22 -23 -24 -25 -26 -27 -28 -29 ''; do
    command -v "clang$suffix" >/dev/null 2>&1 || continue
    tried="$tried clang$suffix"
    "can_$1" "clang$suffix" "$suffix" && exit 0
done
echo "clang.sh: no clang here can do $1 (tried:${tried:- none is installed})" >&2
[ ! -s "$here/log" ] || sed 's/^/    /' "$here/log" | head -12 >&2
exit 1
