#!/bin/sh
# full: the unit tests under AddressSanitizer with UndefinedBehaviorSanitizer; slow ones in their smaller case
# cores 1, long, build SAN=address,undefined unit-small
sh tests/sanitized.sh address,undefined
