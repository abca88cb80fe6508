#!/bin/sh
# run_wasm.sh - builds gossamer-check for WebAssembly (simd128, and relaxed where node has it) and runs it under node.
# Needs clang-19, lld-19, wasi-libc, node. usage: run_wasm.sh [SEED] [--bench]
set -e
cd "$(dirname "$0")/../.."
out=build/wasm-check; mkdir -p $out
flags="--target=wasm32-wasi -std=c11 -O2 -ffp-contract=off -fno-math-errno -Iinclude -msimd128 -mbulk-memory -mnontrapping-fptoint -msign-ext"
# Older nodes want to be asked for relaxed SIMD, newer ones refuse the option.
ask=--experimental-wasm-relaxed-simd
node $ask -e 0 2>/dev/null || ask=
for level in simd128 relaxed; do
    features=32; objs=
    [ $level = relaxed ] && features=96
    for f in src/cpu/kern.c src/cpu/kern_c.c src/cpu/kern_ref.c src/cpu/kern_simd128.c src/cpu/kern_relaxed.c src/format/quant.c src/base/rt_wasm.c \
             tests/check/check.c tests/check/check_math.c tests/check/check_dot.c tests/check/kern_bad.c tests/check/check_wasm.c; do
        extra=
        case $f in *_relaxed.c) [ $level = relaxed ] || continue; extra=-mrelaxed-simd ;; esac
        o=$out/$level-$(basename "$f" .c).o
        ${WASM_CC:-clang-19} $flags $extra -DGOSS_WASM_FEATURES=$features -c -o "$o" "$f"
        objs="$objs $o"
    done
    ${WASM_LD:-wasm-ld-19} --no-entry -z stack-size=1048576 -L/usr/lib/wasm32-wasi -o $out/$level.wasm $objs -lc
    node $ask tests/check/check.mjs $out/$level.wasm "$@"
done
