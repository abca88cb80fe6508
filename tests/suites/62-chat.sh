#!/bin/sh
# full: the chat that people keep, the page as the server serves it, an agent in a tab (Python on Pyodide, MCP servers), figures against the engine's own, axe-core on every state, the page's policy and seven sizes
# cores 1, build all wasm
set -u
[ -n "${CHROMIUM:-}" ] || { echo "SKIP chat: no Chromium (install the package chromium, or set CHROMIUM)"; echo "web: 0 passed, 0 failed, 1 skipped"; exit 0; }
make -s -j"$JOBS" all wasm || exit 1
bad=0
timeout 600 node tests/web/chat.mjs || bad=1
PEERS=$(sh tests/npm_cached.sh tests/peers peers) || PEERS=
PEERS=$PEERS timeout 900 node tests/web/in_tab.mjs || bad=1
timeout 600 node tests/web/figures.mjs || bad=1
timeout 400 node tests/web/access.mjs || bad=1
timeout 300 node tests/web/layout.mjs || bad=1
timeout 300 node tests/web/server.mjs || bad=1
exit $bad
