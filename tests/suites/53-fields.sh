#!/bin/sh
# full: every field of every endpoint with what nobody expects there: honoured, or 400 with its name; never 5xx, never a hang
# cores 1, build all
GOSSAMER=$PWD/$V/gossamer tests/http/run.sh fields.mjs
