#!/bin/sh
# full: tools/recursion.py: what can call itself, and what bounds its depth
# cores 2
set -u
exec python3 tools/recursion.py
