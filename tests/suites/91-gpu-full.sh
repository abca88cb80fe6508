#!/bin/sh
# slow: the GPU backend: kernels measured, kept and forced, prefixes on disk, goldens, every model and variant, limits, matrices cut in pieces, long contexts, memory, kernels that fail
# cores 1, long, build all unit
set -u
make -s -j"$JOBS" all unit || exit 1
bad=0
run() { timeout 600 "$@" || { rc=$?; bad=1; [ $rc -lt 124 ] || echo "$*: 0 passed, 1 failed (status $rc)"; }; }
run "$V"/unit/test_gpu_robust
run "$V"/unit/test_prefix gpu
run "$V"/unit/test_fork gpu
run "$V"/unit/test_gpu_sample
GOSSAMER_GPU_PACKED=1 run "$V"/unit/test_gpu_rows
run "$V"/unit/test_gpu_rows models/demo-gptoss-draft.gguf long
run "$V"/unit/test_golden gpu demo-gptoss-draft demo-gptoss demo-llama-Q4_K_M
GOSSAMER_GPU_PACKED=1 run "$V"/unit/test_golden gpu demo-gptoss
run "$V"/unit/test_gpu_parity
GOSSAMER_GPU_MASK=subgroups,dot4,f16 run "$V"/unit/test_gpu_parity models/demo-gptoss-draft.gguf models/demo-llama-Q4_K_M.gguf
GOSSAMER_GPU_PACKED=1 run "$V"/unit/test_gpu_parity models/demo-gptoss.gguf
# Kernels that a file chose, and that were measured.
run "$V"/unit/test_gpu_choice
GOSSAMER_GPU_KERNELS=tests/gpu/bytes.txt run "$V"/unit/test_gpu_parity models/demo-gptoss-draft.gguf
GOSSAMER_GPU_KERNELS=tests/gpu/floats.txt GOSSAMER_GPU_PACKED=1 run "$V"/unit/test_gpu_parity models/demo-gptoss-draft.gguf
# --gpu-kernels: what was measured is kept beside the models of that folder and nowhere else, and read the next time.
models=$(mktemp -d build/test/gpu-kernels.XXXXXX) || bad=1
"$V"/gossamer synth layers=2,embd=128,heads=4,kv_heads=2,experts=8,ff=64,vocab=2048,ctx=4096 "$models/s.gguf" 2>/dev/null || bad=1
kernels() { # KERNELS ARGUMENTS: a bench with telemetry in $models/lines
    how=$1; shift
    HOME=$PWD/$models XDG_CACHE_HOME='' timeout 600 "$V"/gossamer bench "$models/s.gguf" --backend gpu --max-kv 256 --max-rows 16 \
        --prefill 4 --depths 0 --sessions 1 -n 4 -r 1 --gpu-kernels "$how" --telemetry "$models/lines" "$@" > "$models/out" 2>&1
}
says() { if "$@" > /dev/null 2>&1; then echo "gpu-kernels: 1 passed, 0 failed"; else echo "gpu-kernels: not so: $*"; tail -3 "$models/out"; echo "gpu-kernels: 0 passed, 1 failed"; bad=1; fi; }
if kernels none; then
    says test ! -e "$models/.cache"
    kernels auto --model-cache "$models/mine"; says grep -q '^few mx4 128x64 ' "$models/mine/kernels/gpu.txt"
    says grep -q measured=1 "$models/lines"; says test ! -e "$models/.cache"
    kernels auto --model-cache "$models/mine"; says grep -q 'lines=1 mark=' "$models/lines"; says sh -c "! grep -q measured= $models/lines"
    says kernels "$models/mine/kernels/gpu.txt"; says grep -q 'lines=1 mark=' "$models/lines"
    head -c 60 "$models/mine/kernels/gpu.txt" > "$models/cut"; says sh -c "! $V/gossamer bench $models/s.gguf --backend gpu --gpu-kernels $models/cut"
    kernels auto; says test -s "$models/.cache/gossamer/models/kernels/gpu.txt"
elif grep -q "adapter\|WebGPU library" "$models/out"; then echo "SKIP gpu-kernels: no GPU"; echo "gpu-kernels: 0 passed, 0 failed, 1 skipped"
else cat "$models/out"; echo "gpu-kernels: 0 passed, 1 failed"; bad=1; fi
rm -rf "$models"
# Matrices cut in pieces: every kind of product of this shape is larger than 70 KiB.
"$V"/gossamer synth layers=2,embd=128,heads=4,kv_heads=2,experts=8,ff=256,vocab=2048,ctx=4096 build/test/split.gguf || bad=1
GOSSAMER_GPU_SPLIT=71680 run "$V"/unit/test_gpu_parity build/test/split.gguf
GOSSAMER_GPU_SPLIT=71680 GOSSAMER_GPU_PACKED=1 run "$V"/unit/test_gpu_parity build/test/split.gguf
# WebGPU's default limits: the same answer.
want="July comes after June."
got=$(timeout 600 "$V"/gossamer run models/demo-gptoss.gguf --backend gpu --gpu-limits default --max-kv 512 --max-rows 16 --date 2025-06-28 --temp 0 \
    -p "Which month comes after June?" 2>build/test/limits.err)
case "$got" in *"$want"*) echo "default limits: 1 passed, 0 failed";;
*) if grep -q "adapter\|WebGPU library" build/test/limits.err; then echo "SKIP default limits: no GPU"; echo "default limits: 0 passed, 0 failed, 1 skipped"
   else echo "default limits: said $got"; echo "default limits: 0 passed, 1 failed"; bad=1; fi;;
esac
exit $bad
