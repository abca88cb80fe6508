#!/bin/sh
# full: one client against the others: hostile schemas, tools and bodies may hold the engine's thread for 20 ms
# cores 2, build all
set -u
exec sh tests/http/run.sh budget.mjs
