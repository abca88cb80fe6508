#!/bin/sh
# full: the library and gossamer-check for arm64, run under qemu-user; the x86 levels below this machine's too
# cores 1
set -u
command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 && command -v qemu-aarch64 >/dev/null 2>&1 || {
    echo "SKIP arm64: aarch64-linux-gnu-gcc or qemu-aarch64 is not installed"; echo "arm64: 0 passed, 0 failed, 1 skipped"; exit 0; }
sh tests/check/run_arm64.sh
