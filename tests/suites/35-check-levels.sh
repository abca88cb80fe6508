#!/bin/sh
# full: gossamer-check for the levels that this machine may lack: AVX-512 VNNI and AMX over emulated instructions, WebAssembly under node
# cores 1, build wasm
set -u
if [ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo; then sh tests/check/run_emulated.sh || exit 1
else echo "SKIP emulated levels: they need an x86-64 processor with AVX2"; fi
if sh tools/clang.sh wasm >/dev/null && command -v node >/dev/null 2>&1; then sh tests/check/run_wasm.sh || exit 1
else echo "SKIP wasm levels: no clang and lld from 19 on with wasi-libc, or no node"; fi
