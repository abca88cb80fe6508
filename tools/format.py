#!/usr/bin/env python3
"""format.py - gives the lines of C that differ from HEAD (or from the commit that is named) the form of .clang-format.

Only those: tables, drawings and texts elsewhere keep the form that somebody gave them."""
import os, re, subprocess, sys

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
base = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
diff = subprocess.run(["git", "diff", "-U0", base, "--", "*.c", "*.h"], capture_output=True, text=True, check=True).stdout
changed, file = {}, None
for line in diff.split("\n"):
    if line.startswith("+++ b/"): file = line[6:]
    m = re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line)
    if m and m.group(2) != "0": changed.setdefault(file, []).append((int(m.group(1)), int(m.group(2) or 1)))
for file, places in changed.items():
    ranges = [f"--lines={first}:{first + n - 1}" for first, n in places]
    subprocess.run(["clang-format", "-i", *ranges, file], check=True)
    print(file)
