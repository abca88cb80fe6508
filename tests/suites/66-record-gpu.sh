#!/bin/sh
# slow: recordings of a GPU (a software adapter does): experts, attention and alternatives against gossamer probe's on the same device
# cores 2, build all
set -u
make -s -j"$JOBS" all "$V"/unit/test_gpu_seen "$V"/unit/test_gpu_panel || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT INT TERM
[ -n "${VK_ICD_FILENAMES:-}" ] || export VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json
bad=0
"$V"/unit/test_gpu_seen || bad=1
GOSSAMER_GPU_PACKED=1 "$V"/unit/test_gpu_seen || bad=1
GOSSAMER_GPU_PACKED=1 "$V"/unit/test_gpu_panel || bad=1
RECORD_BACKEND=gpu python3 tests/record/check.py "$V/gossamer" "$tmp" || bad=1
exit $bad
