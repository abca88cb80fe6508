#!/bin/sh
# quick: models by name from a host of models of our own: pulled, resumed, checked, listed, removed, run, served; the token; the page's rules
# cores 1, build all
set -u
make -s -j"$JOBS" all || exit 1
timeout 300 node tests/http/names_test.mjs "$V"/gossamer
