#!/bin/sh
# slow: a pipeline of GPUs (a software adapter does), and of GPUs and CPUs mixed: the tokens of one GPU, the best tokens of one CPU; and as processes of mpirun; --gpu N
# cores 2, build all unit
set -u
make -s -j"$JOBS" all "$V"/unit/test_gpu_ring || exit 1
[ -n "${VK_ICD_FILENAMES:-}" ] || export VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT INT TERM
bad=0
export GOSSAMER=$PWD/$V/gossamer
timeout 900 node tests/http/gpus_test.mjs || bad=1
timeout 300 "$V"/unit/test_gpu_ring || { rc=$?; bad=1; [ $rc -lt 124 ] || echo "test_gpu_ring: 0 passed, 1 failed (status $rc)"; }
if [ ! -f "$V/gossamer_mpi.so" ] || ! command -v mpirun > /dev/null; then
    echo "SKIP mpirun: OpenMPI is not installed (libopenmpi-dev, openmpi-bin)"; echo "mpirun: 0 passed, 0 failed, 1 skipped"; exit $bad
fi
# One process on the GPU, one on the CPU: each is told its own backend.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl=self,vader,tcp
want="July comes after June."
rank() { echo "-n 1 $V/gossamer run --pipeline --backend $1 --threads 1 --max-kv 512 --date 2025-06-28 --temp 0 -p"; }
june="Which month comes after June?"
# shellcheck disable=SC2046
got=$(timeout 200 mpirun --bind-to none $(rank gpu) "$june" : $(rank cpu) "$june" 2> "$tmp/err")
case "$got" in *"$want"*) echo "gpu and cpu under mpirun: 1 passed, 0 failed";;
*) if grep -q "adapter\|WebGPU library" "$tmp/err"; then echo "SKIP gpu and cpu under mpirun: no GPU"; echo "mpirun: 0 passed, 0 failed, 1 skipped"
   else cat "$tmp/err"; echo "gpu and cpu under mpirun: said $got"; echo "gpu and cpu under mpirun: 0 passed, 1 failed"; bad=1; fi;;
esac
exit $bad
