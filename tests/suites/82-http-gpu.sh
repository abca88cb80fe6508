#!/bin/sh
# slow: the server on WebGPU (a software adapter does): chats whole, streamed, two at once, one that hangs up; no CPU when idle
# cores 2, build all
set -u
make -s -j"$JOBS" all || exit 1
GOSS_TEST_BACKEND=gpu GOSS_TEST_SLOW=4 GOSSAMER=$PWD/$V/gossamer tests/http/run.sh gpu.mjs
