#!/bin/sh
# slow: the page on WebGPU in Chromium (SwiftShader): click to tokens, goldens, default limits, a lost device, a slow link
# cores 2, build wasm
set -u
[ -n "${CHROMIUM:-}" ] || { echo "SKIP web-gpu: no Chromium (install the package chromium, or set CHROMIUM)"; echo "web: 0 passed, 0 failed, 1 skipped"; exit 0; }
make -s -j"$JOBS" wasm || exit 1
bad=0
timeout 240 node tests/web/early.mjs || bad=1
timeout 1500 node tests/web/gpu.mjs || bad=1
exit $bad
