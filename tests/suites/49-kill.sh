#!/bin/sh
# full: SIGKILL at random moments while files are written; full disks and limits on the size of a file
# cores 1, build all
set -u
make -s -j"$JOBS" all || exit 1
timeout 400 node tests/http/kill_test.mjs "$V"/gossamer 12
