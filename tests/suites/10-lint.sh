#!/bin/sh
# quick: the rules of docs/style.md that a program can check; no circle of files, no arrow upward between rooms; docs/dependencies.md is what setup installs
# cores 1
bad=0
python3 tools/lint.py || bad=1
python3 tools/arrows.py || bad=1
python3 tools/dependencies.py || bad=1
exit $bad
