#!/bin/sh
# quick: gossamer-check, every CPU kernel at every level of this machine
make -s -j"$JOBS" check-bin && "$V"/gossamer-check
