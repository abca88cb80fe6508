#!/bin/sh
# quick: synth, probe, gate and eval as programs: what they print, and their exit status
# cores 2, build all
set -u
unset VK_ICD_FILENAMES               # a GPU's gates take minutes in software: gate D is in 42-gpu
make -s -j"$JOBS" all || exit 1
g=$V/gossamer
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT INT TERM
pass=0 fail=0
ok() { pass=$((pass + 1)); }
bad() { fail=$((fail + 1)); echo "FAIL $1"; sed 's/^/    /' "$tmp/out" "$tmp/err"; }
# expect STATUS WORDS COMMAND...: the exit status, and that the output (both streams) has the words
expect() {
    status=$1 words=$2; shift 2
    "$@" > "$tmp/out" 2> "$tmp/err"; rc=$?
    if [ $rc -ne "$status" ]; then bad "status $rc, not $status: $*"; return; fi
    if cat "$tmp/out" "$tmp/err" | { [ -z "${one_line:-}" ] && cat || tr '\n' ' '; } | grep -q -- "$words"; then ok; else bad "no \"$words\": $*"; fi
}
demo=models/demo-gptoss.gguf llama=models/demo-llama-Q4_K_M.gguf
shape=layers=3,embd=128,heads=4,kv_heads=2,experts=8,ff=64,vocab=2048,ctx=4096

# ---- schema
echo '{"type": "object", "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 5}}, "required": ["n"], "additionalProperties": false}' > "$tmp/n.json"
expect 0 '^{"n":[345]}$' $g schema "$tmp/n.json"
expect 0 '"states": [0-9]' $g schema --json "$tmp/n.json"
echo '{"properties": {"a": {"pattern": "("}}}' > "$tmp/bad.json"
expect 1 "at #/properties/a/pattern" $g schema "$tmp/bad.json"
expect 1 "none.json" $g schema "$tmp/none.json"

# ---- synth
expect 0 "60 tensors" $g synth $shape "$tmp/s.gguf"
expect 0 "PASS" $g gate "$tmp/s.gguf" A B
expect 0 "PASS" $g gate "$tmp/s.gguf" D F
expect 0 "round trip: identical" $g probe tokenizer "$tmp/s.gguf" --text "Once upon a time, 17 + 25 = 42.
naïve 漢字"
expect 0 "entropy of use 0.9" $g probe router "$tmp/s.gguf" --layer 2 --seq-len 200 --text "What is the month after June and what was the language of every tool"
$g synth $shape --seed 7 "$tmp/a.gguf" 2> "$tmp/err"; $g synth $shape --seed 7 --threads 1 "$tmp/b.gguf" 2>> "$tmp/err"
: > "$tmp/out"; if cmp -s "$tmp/a.gguf" "$tmp/b.gguf"; then ok; else bad "the same seed gives another file"; fi
if cmp -s "$tmp/a.gguf" "$tmp/s.gguf"; then bad "another seed gives the same file"; else ok; fi
expect 0 "459 tensors" $g synth 20b --sparse "$tmp/20b.gguf"
size=$(wc -c < "$tmp/20b.gguf"); : > "$tmp/out"
if [ "$size" -gt 12090000000 ] && [ "$size" -lt 12110000000 ]; then ok; else bad "20b has $size bytes"; fi
expect 0 "24 layers, 2880 x 2880, 32 experts, vocabulary 201088" $g gate "$tmp/20b.gguf" A
expect 0 "687 tensors" $g synth 120b --sparse "$tmp/120b.gguf"
expect 0 "36 layers, 2880 x 2880, 128 experts" $g gate "$tmp/120b.gguf" A
rm -f "$tmp/20b.gguf" "$tmp/120b.gguf"
expect 1 "is no file" $g synth $shape "$tmp"
expect 1 "is no file" $g synth $shape /dev/null
[ -c /dev/null ] || { echo "synth replaced /dev/null"; exit 1; }
mkfifo "$tmp/fifo"; expect 1 "not a file" timeout 10 $g dump "$tmp/fifo"
expect 2 "is no shape" $g synth 21b "$tmp/x"
expect 2 "embd is 33" $g synth embd=33 "$tmp/x"
expect 2 "kv_heads must divide" $g synth heads=7,kv_heads=2 "$tmp/x"
expect 1 "cannot write" $g synth $shape "$tmp/no/such/folder"
expect 1 "cannot write" sh -c "ulimit -f 200; exec $g synth $shape '$tmp/y.gguf'"
if ls "$tmp" | grep -q '^y'; then bad "a failed synth left a file"; else ok; fi
if [ "$(id -u)" = 0 ] && mkdir "$tmp/small" && mount -t tmpfs -o size=300k tmpfs "$tmp/small" 2> /dev/null; then
    expect 1 "No space left" $g synth $shape "$tmp/small/y.gguf"
    if [ -z "$(ls "$tmp/small")" ]; then ok; else bad "a failed synth left a file on a full disk"; fi
    umount "$tmp/small"
fi

# ---- probe
for part in tokenizer embed lm-head layer attention router; do expect 0 "^PASS" $g probe $part $demo; done
for part in tokenizer embed lm-head layer attention; do expect 0 "^PASS" $g probe $part $llama; done
expect 1 "no experts" $g probe router $llama
expect 0 '" there"' $g probe lm-head $demo --text "Once upon a time" --show-top 2
expect 0 "^PASS" $g probe lm-head $demo --layers 0
expect 0 "5 x 256" $g probe embed $demo --tokens 1,2,3,4,5
expect 2 "layers 0 to 5" $g probe layer $demo --layer 6
expect 2 "no part is called" $g probe nonsense $demo
expect 1 "numbers with commas" $g probe embed $demo --tokens 1,x

# ---- gate and eval
expect 0 "July comes after June." $g gate $demo A B F G
expect 0 "G PASS" $g gate $llama A D F G
expect 0 "G PASS" $g gate $demo G --yarn llama.cpp
expect 1 "A FAIL" $g gate Makefile A
expect 2 "is no gate" $g gate $demo A X
printf 'Once upon a time there was a small crow named Theo who lived near a deep forest. Theo liked to listen to the wind and to watch the clouds.' > "$tmp/text"
expect 0 "perplexity 1\\." $g eval $demo "$tmp/text"
expect 0 '"tokens":' $g eval $llama "$tmp/text" --json --seq-len 16
expect 1 "no/such" $g eval $demo no/such
# what KV in 8 and 4 bits costs, in nats (docs/sessions.md has it over 12,000 tokens)
nll() { $g eval $demo "$tmp/text" --backend cpu --seq-len 256 --kv "$1" --json | sed 's/.*"nll":\([0-9.]*\).*/\1/'; }
f16=$(nll f16)
for kv in "q8 0.02" "q4 0.15"; do
    echo "$(nll "${kv% *}") $f16 ${kv#* }" > "$tmp/out"
    if awk '{ d = $1 - $2; exit !(NF == 3 && d < $3 && d > -$3) }' "$tmp/out"; then ok; else bad "KV in ${kv% *}"; fi
done
echo '{"type":"object","properties":{"month":{"enum":["May","July"]}},"required":["month"],"additionalProperties":false}' > "$tmp/schema"
one_line=1                           # JSON may be broken into lines: an answer is judged as one
expect 0 '^{ *"month": *"[MJ][a-z]*" *}' $g run $demo -p "Which month comes after June?" --temp 0 --json-schema "$tmp/schema"
expect 0 '^{ *"month": *"[MJ][a-z]*" *}' $g run $demo -p "Which month comes after June?" --temp 0 --json-schema "$(cat "$tmp/schema")"
one_line=
expect 2 "No such file" $g run $demo -p x --json-schema "$tmp/none"
echo "model: $pass passed, $fail failed"
[ $fail -eq 0 ]
