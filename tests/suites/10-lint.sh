#!/bin/sh
# quick: the rules of docs/style.md that a program can check
python3 tools/lint.py
