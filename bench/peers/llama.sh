#!/bin/sh
# llama.sh - builds llama_peer against the pinned package's own libraries and header, and runs it.
# usage: bench/peers/llama.sh MODEL bench THREADS N_PROMPT N_DECODE [REPEATS]   (see llama_peer.c)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
if [ ! -d node_modules/@node-llama-cpp/linux-x64 ]; then
    npm install --no-save --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error >&2
fi
lib=$here/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64
out=$here/../../build/peers
mkdir -p "$out"
[ -d "$out/llama.cpp" ] || git clone -q --depth 1 "$here/node_modules/node-llama-cpp/llama/gitRelease.bundle" "$out/llama.cpp" 2>/dev/null
if [ ! -x "$out/llama_peer" ] || [ llama_peer.c -nt "$out/llama_peer" ]; then
    cc -O2 -std=gnu11 -I"$out/llama.cpp/include" -I"$out/llama.cpp/ggml/include" llama_peer.c -o "$out/llama_peer" \
        -L"$lib" -Wl,-rpath,"$lib" -l:libllama.v0.5.0.so -l:libggml.v0.5.0.so -l:libggml-base.so -lm
fi
model=$1; shift
case "$model" in /*) ;; *) model=$OLDPWD/$model;; esac
exec "$out/llama_peer" "$lib" "$model" "$@"
