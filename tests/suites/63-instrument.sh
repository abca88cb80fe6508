#!/bin/sh
# full: the page's timeline and the panels at a moment against gossamer probe; recordings played; branches, the lens; sessions, memory, roofline; axe-core
# cores 1, build all wasm
set -u
[ -n "${CHROMIUM:-}" ] || { echo "SKIP instrument: no Chromium (install the package chromium, or set CHROMIUM)"; echo "web: 0 passed, 0 failed, 1 skipped"; exit 0; }
make -s -j"$JOBS" all wasm || exit 1
bad=0
timeout 400 node tests/web/instrument.mjs || bad=1
timeout 300 node tests/web/watch.mjs || bad=1
timeout 400 node tests/web/branch.mjs || bad=1
timeout 200 node tests/web/whole.mjs || bad=1
exit $bad
