#!/bin/sh
# full: Debian forky's Dawn and lavapipe (f16, subgroup matrices): webgpu_abi.h against its header, halves and attention by matrices (MATRICES=full: products and stages, too, 20 minutes)
# cores 1, build all unit check-bin
set -u
sh tests/fresh.sh forky --gpu
