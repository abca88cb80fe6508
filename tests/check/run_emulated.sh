#!/bin/sh
# run_emulated.sh - gossamer-check with the AVX-VNNI, AVX-512 VNNI and AMX levels over emulated instructions, for machines without them
# (it needs AVX2). Their arithmetic is tested, not their speed. usage: run_emulated.sh [ARGS of gossamer-check]
set -e
cd "$(dirname "$0")/../.."
out=build/emulated-check; mkdir -p $out
flags="-std=c11 -O2 -ffp-contract=off -fno-math-errno -D_DEFAULT_SOURCE -Iinclude -Isrc -I."
objs=
header=$(ls -t src/*/*.h src/*/*/*.h include/*.h tests/check/*.h tests/check/emulate/*.h 2>/dev/null | head -n 1)
for f in src/cpu/kern.c src/cpu/levels.c src/cpu/kern_c.c src/cpu/kern_ref.c src/cpu/kern_avx2.c src/cpu/kern_avxvnni.c src/cpu/kern_avx512vnni.c src/cpu/kern_attn_avx512vnni.c src/cpu/kern_amx.c src/format/quant.c \
         tests/check/emulate/features.c tests/check/check.c tests/check/check_math.c tests/check/check_dot.c tests/check/kern_bad.c tests/check/check_main.c tests/check/emulate/no_gpu.c; do
    extra=
    case $f in
        *_avx2.c) extra="-mavx2 -mfma -mf16c" ;;
        *vnni.c|*_amx.c) extra="-mavx2 -mfma -mf16c -Wno-psabi -Itests/check/emulate" ;;
    esac
    o=$out/$(basename "$f" .c).o
    { [ "$o" -nt "$f" ] && [ "$o" -nt "$header" ]; } || ${CC:-gcc} $flags $extra -c -o "$o" "$f"
    objs="$objs $o"
done
${CC:-gcc} -o $out/gossamer-check $objs -lm
$out/gossamer-check "$@"
