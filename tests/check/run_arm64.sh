#!/bin/sh
# run_arm64.sh - builds gossamer-check for arm64 with a cross compiler, statically, and runs it under qemu-user: with the dot
# product extension, and on a processor without it. Needs aarch64-linux-gnu-gcc and qemu-aarch64. usage: run_arm64.sh [ARGS of gossamer-check]
set -e
cd "$(dirname "$0")/../.."
out=build/arm64-check; mkdir -p $out
flags="-std=c11 -O2 -ffp-contract=off -fno-math-errno -D_DEFAULT_SOURCE -Iinclude -Isrc -I."
objs=
for f in src/cpu/kern.c src/cpu/levels.c src/cpu/kern_c.c src/cpu/kern_ref.c src/cpu/kern_neon.c src/cpu/kern_dotprod.c src/format/quant.c src/base/os_posix.c \
         src/base/os_linux.c src/base/os_linux_arm.c src/base/error.c src/base/utf8.c src/base/fmt.c src/base/decimal.c src/base/mem.c \
         tests/check/check.c tests/check/check_math.c tests/check/check_dot.c tests/check/kern_bad.c tests/check/check_main.c tests/check/emulate/no_gpu.c; do
    extra=
    case $f in *_dotprod.c) extra=-march=armv8.2-a+dotprod ;; esac
    o=$out/$(basename "$f" .c).o
    ${ARM_CC:-aarch64-linux-gnu-gcc} $flags $extra -c -o "$o" "$f"
    objs="$objs $o"
done
${ARM_CC:-aarch64-linux-gnu-gcc} -static -o $out/gossamer-check $objs -lm -lpthread
echo "cpu max:";        qemu-aarch64 -cpu max $out/gossamer-check "$@"
echo "cpu cortex-a53:"; qemu-aarch64 -cpu cortex-a53 $out/gossamer-check "$@"
