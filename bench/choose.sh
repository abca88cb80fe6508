#!/bin/sh
# choose.sh [SHAPE] [FOLDER] - on a machine with a GPU: times all candidates for its kernels on the shape of a model (20b), prints
# the table, and compares the speed under what was chosen with that under what features choose, in turn. Everything lies in FOLDER
# (build/choose): the model of that shape (SHAPE.gguf, 13 GB), kernels.txt, table.txt. GOSSAMER names the program, GOSSAMER_WEBGPU
# the library. About three minutes on an H200, one of which makes the model.
set -u
cd "$(dirname "$0")/.."
shape=${1:-20b} folder=${2:-build/choose} program=${GOSSAMER:-build/cc/gossamer}
model=$folder/$shape.gguf kernels=$folder/kernels.txt table=$folder/table.txt
mkdir -p "$folder" || exit 1
[ -s "$model" ] || "$program" synth "$shape" "$model" || exit 1
began=$(date +%s)
"$program" bench "$model" --backend gpu --max-kv 4096 --choose "$kernels" > "$table" || { cat "$table"; exit 1; }
cat "$table"
echo "choosing took $(($(date +%s) - began)) s"
echo; cat "$kernels"
speed() { # KERNELS
    "$program" bench "$model" --backend gpu --max-kv 4096 --prefill 32,64,128,256,512,2048 --depths 0 \
        --sessions 1,4,16,17,24,32,48,64 -n 64 -r 2 --gpu-kernels "$1"
}
for round in 1 2; do
    for how in none "$kernels"; do
        echo; echo "round $round, --gpu-kernels $how"
        speed "$how" || exit 1
    done
done
