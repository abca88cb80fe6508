#!/bin/sh
# full: --yarn llama.cpp against llama.cpp's own greedy tokens (the peer of bench/peers, from npm)
# cores 2, build all unit
set -u
make -s -j"$JOBS" "$V/unit/test_yarn" || exit 1
if ! bench/peers/llama.sh models/demo-gptoss.gguf greedy 1 1 1 > /dev/null 2> build/test/peer.log; then
    echo "SKIP yarn: the peer cannot be built or run here: $(tail -1 build/test/peer.log)"
    echo "yarn: 0 passed, 0 failed, 1 skipped"; exit 0
fi
GOSS_PEER=bench/peers/llama.sh timeout 280 "$V/unit/test_yarn"
