#!/bin/sh
# quick: the real o200k vocabulary: golden vectors, 120,000 strings against tiktoken, speed
# cores 1, build text-bin
set -u
make -s -j"$JOBS" text-bin || exit 1
if [ ! -d node_modules/tiktoken ]; then
    echo "SKIP text: the tiktoken package is not installed (run ./test once with a network)"
    echo "text: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
bad=0
dir=build/test
for kind in o200k gpt2 llama3; do
    [ $dir/$kind.gguf -nt tests/text/make_vocab.mjs ] || node tests/text/make_vocab.mjs $kind $dir/$kind.gguf || exit 1
done
"$V"/text/real_vocab $dir/o200k.gguf || bad=1
"$V"/text/windows $dir/o200k.gguf $dir/gpt2.gguf $dir/llama3.gguf models/demo-gptoss.gguf models/demo-llama-f16.gguf || bad=1
"$V"/text/masks $dir/o200k.gguf 50 || bad=1
node tests/text/compare.mjs o200k "$V"/text/vocab_tool $dir/o200k.gguf 100000 || bad=1
node tests/text/compare.mjs gpt2 "$V"/text/vocab_tool $dir/gpt2.gguf 20000 || bad=1

# English: this machine's licences where it has them, else sentences of the demo model's grammars; at least 20 MB/s on one core.
english=$dir/english.txt
cat /usr/share/common-licenses/* > $english 2>/dev/null
[ -s $english ] || python3 - > $english <<'END'
import random, sys
sys.path.insert(0, "models/train")
import corpus
r = random.Random(1)
print("\n".join(corpus.story(r) for _ in range(2000)))
END
for kind in o200k llama3 gpt2; do
    line=$("$V"/text/vocab_tool speed $dir/$kind.gguf $english 1)
    echo "$kind: $line"
    [ $kind != o200k ] || { echo "$line" | awk '{ ok = $1 >= 20; printf "speed: %d passed, %d failed\n", ok, !ok; exit !ok }' || bad=1; }
done
exit $bad
