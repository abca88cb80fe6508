#!/bin/sh
# quick: the page in Chromium; the package in Node, its types
# cores 2, build all wasm
set -u
[ -n "${CHROMIUM:-}" ] || { echo "SKIP web: no Chromium (install the package chromium, or set CHROMIUM)"; echo "web: 0 passed, 0 failed, 1 skipped"; exit 0; }
make -s -j"$JOBS" all wasm || exit 1
bad=0
node node_modules/typescript/bin/tsc -p tests/web/tsconfig.json && echo "types: 1 passed, 0 failed" || { echo "types: 0 passed, 1 failed"; bad=1; }
timeout 120 node tests/web/node.mjs || bad=1
timeout 240 node tests/web/settles.mjs || bad=1
timeout 240 node tests/web/settles_page.mjs || bad=1
timeout 420 node tests/web/page.mjs || bad=1
exit $bad
