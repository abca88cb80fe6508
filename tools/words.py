#!/usr/bin/env python3
"""words.py - web/js/core/words.js from the lists of C: the ops of a submit (gpu_types.h), the panel buffer's words (blocks.h),
the columns of a row (sheet.h).

usage: tools/words.py [check]: writes the file, or says whether it is what the lists give (lint asks)"""
import re, sys

OUT = "web/js/core/words.js"

def words_of(path, macro):
    with open(path, encoding="utf-8") as f: text = f.read()
    body = re.search(r"#define " + macro + r"\(X\) ((?:.*\\\n)*.*)\n", text).group(1)
    return re.findall(r"X\((\w+), (\d+)(?:, (\d+))?\)", body)

def made():
    ops = words_of("src/gpu/device/gpu_types.h", "GOSS_GPU_OPS")
    panel = words_of("src/gpu/kernels/blocks.h", "GOSS_PANEL_WORDS")
    row = words_of("src/engine/telemetry/sheet.h", "GOSS_COLUMN_WORDS")
    counts = words_of("src/engine/telemetry/sheet.h", "GOSS_COLUMN_COUNTS")
    lines = ["// words.js - made by tools/words.py from the lists of C: don't edit. OP: the ops of a submit",
             "// (src/gpu/device/gpu_types.h); OP_WORDS: how many words each has; PANEL: the words of the panel buffer",
             "// (src/gpu/kernels/blocks.h); ROW: the first columns of a row, ROW_COUNT: how many there are of the others",
             "// (src/engine/telemetry/sheet.h)."]
    lines.append("export const OP = { %s };" % ", ".join(f"{name}: {number}" for name, number, _ in ops))
    lines.append("export const OP_WORDS = [0, %s];" % ", ".join(n for _, _, n in ops))
    lines.append("export const PANEL = {")
    for i in range(0, len(panel), 8): lines.append("  %s," % ", ".join(f"{name}: {value}" for name, value, _ in panel[i:i + 8]))
    lines += ["};", "export const ROW = {"]
    for i in range(0, len(row), 8): lines.append("  %s," % ", ".join(f"{name}: {value}" for name, value, _ in row[i:i + 8]))
    lines += ["};", "export const ROW_COUNT = { %s };" % ", ".join(f"{name}: {value}" for name, value, _ in counts)]
    return "\n".join(lines + [""])

def is_current():
    try:
        with open(OUT, encoding="utf-8") as f: return f.read() == made()
    except FileNotFoundError: return False

if __name__ == "__main__":
    if "check" in sys.argv[1:]: sys.exit(0 if is_current() else 1)
    with open(OUT, "w", encoding="utf-8") as f: f.write(made())
