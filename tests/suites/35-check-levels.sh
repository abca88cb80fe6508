#!/bin/sh
# full: gossamer-check for the levels that this machine may lack: AVX-512 VNNI and AMX over emulated instructions, WebAssembly under node
set -u
if [ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo; then sh tests/check/run_emulated.sh || exit 1
else echo "SKIP emulated levels: they need an x86-64 processor with AVX2"; fi
if command -v clang-19 >/dev/null 2>&1 && command -v wasm-ld-19 >/dev/null 2>&1 && command -v node >/dev/null 2>&1; then sh tests/check/run_wasm.sh || exit 1
else echo "SKIP wasm levels: clang-19, wasm-ld-19 or node is not installed"; fi
