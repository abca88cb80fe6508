#!/bin/sh
# full: ./run on an empty Debian 13 (trixie): build, answer, server, page; and the tarball of make dist where there is no compiler
# cores 1, long, build all wasm
set -u
bad=0
sh tests/fresh.sh trixie --dist || bad=1
sh tests/fresh.sh trixie || bad=1
exit $bad
