#!/bin/sh
# quick: recordings: their values against gossamer probe's, read by Python from their document alone; cut, broken, killed; replay
# cores 2, build all
set -u
unset VK_ICD_FILENAMES
make -s -j"$JOBS" all || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT INT TERM
python3 tests/record/check.py "$V/gossamer" "$tmp"
