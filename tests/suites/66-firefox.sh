#!/bin/sh
# slow: the page in Firefox: WebGPU on Mesa's lavapipe, kernel check, goldens; and the CPU with WebGPU off
# cores 2, build wasm
set -u
firefox=${FIREFOX:-/usr/bin/firefox-esr}
skip() { echo "SKIP firefox: $1"; echo "web: 0 passed, 0 failed, 1 skipped"; exit 0; }
[ -x "$firefox" ] || skip "no Firefox (install the package firefox-esr, or set FIREFOX)"
[ -e /usr/share/vulkan/icd.d/lvp_icd.x86_64.json ] || skip "no lavapipe (install the package mesa-vulkan-drivers)"
make -s -j"$JOBS" wasm || exit 1
FIREFOX=$firefox timeout 1200 node tests/web/firefox.mjs
