#!/bin/sh
# full: chat and serve with tools of MCP servers: our own, good and bad, over standard input and HTTP, and MCP's example server; Ollama's client pulls
# cores 2, build all
set -u
make -s -j"$JOBS" all || exit 1
bad=0
PEERS=$(sh tests/npm_cached.sh tests/peers peers) || PEERS=
export PEERS GOSSAMER=$PWD/$V/gossamer
timeout 600 node tests/mcp/chat.mjs "$GOSSAMER" & chat=$!
if [ -d node_modules/openai ]; then timeout 600 node tests/mcp/serve.mjs || bad=1
else echo "SKIP serve with tools: node_modules/openai is missing (npm ci)"; echo "0 passed, 0 failed, 1 skipped"; fi
wait $chat || bad=1
tests/http/run.sh ollama.mjs || bad=1
exit $bad
