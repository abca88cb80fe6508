#!/bin/sh
# quick: gossamer-check, every CPU kernel at every level of this machine
# cores 1, build check-bin
make -s -j"$JOBS" check-bin && "$V"/gossamer-check
