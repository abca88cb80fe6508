#!/bin/sh
# real: a real model: GPT_OSS_GGUF_PATH=FILE ./test real
# alone, build all unit
set -u
make -s -j"$JOBS" all "$V/unit/test_real" || exit 1
bad=0
timeout 1800 "$V/unit/test_real" || bad=1
if [ -n "${GPT_OSS_GGUF_PATH:-}" ]; then
    if "$V/gossamer" gate "$GPT_OSS_GGUF_PATH" A B G; then echo "gates: 1 passed, 0 failed"; else echo "gates: 0 passed, 1 failed"; bad=1; fi
fi
exit $bad
