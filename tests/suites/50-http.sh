#!/bin/sh
# quick: the server: the openai client, coding agents, chats, conversations, pulls, raw HTTP, bytes that proxies read otherwise, slow clients, limits, files, life, the first byte, long prompts, reasoning, embeddings, a storm of 64 clients
# cores 2, build all
set -u
make -s -j"$JOBS" all || exit 1
if [ ! -d node_modules/openai ]; then echo "SKIP http: node_modules/openai is missing (npm ci)"; echo "0 passed, 0 failed, 1 skipped"; exit 0; fi
GOSSAMER=$PWD/$V/gossamer tests/http/run.sh client.mjs agents.mjs chat.mjs conversations.mjs raw.mjs strict.mjs limits.mjs files.mjs life.mjs pull.mjs first.mjs waits.mjs reasoning.mjs embed.mjs "storm.mjs 10"
