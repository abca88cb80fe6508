#!/bin/sh
# full: programs of others against the server, headless: Codex (a whole session, resumed; --oss) and Claude Code (print mode)
# cores 1, build all
set -u
PROGRAMS=$(sh tests/npm_cached.sh tests/clients/programs programs) || {
    echo "SKIP agents: npm could not install them: $PROGRAMS"; echo "0 passed, 0 failed, 1 skipped"; exit 0
}
export PROGRAMS GOSSAMER=$PWD/$V/gossamer
bad=0
for t in codex claude; do
    timeout 1500 node tests/clients/$t.mjs || bad=1
done
exit $bad
