#!/bin/sh
# fresh.sh SUITE [--test | --dist | --gpu | COMPILER...] - the README's commands on an empty Debian: bookworm, trixie, forky.
# It makes an empty root once (mmdebstrap) and keeps it, with the packages that apt brought, in GOSSAMER_ROOTS. Each run copies the
# root, clones what is committed here into it, and runs ./run there: an answer, then the server and its page (in this machine's
# Chromium too, where there is one); with --test also ./test. With --dist it unpacks the tarball of `make dist` instead, beside the
# packages that the tarball's README names. With names of compilers (packages: gcc-13, clang-20) each builds all with warnings as errors
# and runs gossamer-check, some unit tests and an answer. With --gpu (forky) the root has Debian's own Dawn and lavapipe: webgpu_abi.h is compared with its header, and what was
# built here runs the kernels that need f16 and subgroup matrices, stages against the reference, and an answer. Whatever is mounted or runs in the copy ends with this script: it has a mount and a process
# namespace of its own. Mirrors are this machine's. It needs root; without that, or a network, it says SKIP.
set -u
cd "$(dirname "$0")/.."
suite=${1:-} mode=${2:-}
case $suite:$mode in bookworm:* | trixie:* | forky:*) shift;; *) suite=;; esac
case $suite:$mode in
:* | *:--[!tdg]* | [!f]*:--gpu) echo "usage: tests/fresh.sh bookworm|trixie|forky [--test | --dist | --gpu | COMPILER...]" >&2; exit 2;;
*:--* | *:) ;;
*) mode=-cc;;
esac
roots=${GOSSAMER_ROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/gossamer/roots}
base=$roots/$suite packages=ca-certificates debs=$roots/$suite.debs root=$roots/$suite.run.$$ log=build/test/fresh-$suite$mode.log
question='Which month comes after June?' answer='July comes after June.' ask="run -p 'Which month comes after June?' --temp 0 --date 2025-06-28"
passed=0 failed=0 server=
if [ "$mode" = --gpu ]; then
    base=$base-gpu packages=$packages,libwebgpu-dawn0,libwebgpu-dawn-dev,mesa-vulkan-drivers,libvulkan1,libcurl4t64,libmicrohttpd12t64
fi
mkdir -p build/test "$debs/partial"
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "$suite: $*"; }
skip() { echo "SKIP fresh $suite: $*"; echo "fresh $suite: 0 passed, 0 failed, 1 skipped"; exit 0; }
done_with() { echo "fresh $suite $mode: $passed passed, $failed failed"; [ "$failed" -eq 0 ]; exit $?; }

# ---- the empty root ------------------------------------------------------------------------------------------------------
[ "$(id -u)" = 0 ] || skip "needs root"
command -v mmdebstrap >/dev/null || skip "mmdebstrap is not installed"
unshare --mount --pid --fork --kill-child true 2>/dev/null || skip "no namespaces here"
mirror() { # PATTERN: the first mirror of this machine's apt whose address has it
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null | sed 's#/$##' | grep "$1" | head -1
}
sources() { # MIRROR, SECURITY'S
    keys="[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    echo "deb $keys $1 $suite main"
    [ "$suite" = forky ] || echo "deb $keys $1 $suite-updates main"
    [ "$suite" = forky ] || [ -z "$2" ] || echo "deb $keys $2 $suite-security main"
}
make_base() {
    main=$(mirror '/debian$')
    [ -n "$main" ] || skip "this machine's apt knows no mirror of Debian"
    rm -rf "$base.new"
    sources "$main" "$(mirror '/debian-security$')" | mmdebstrap --variant=minbase --include="$packages" \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Check-Date "false"' "$suite" "$base.new" - > "$log" 2>&1 || {
        tail -3 "$log"; rm -rf "$base.new"; skip "mmdebstrap made no root"; }
    mv "$base.new" "$base"
}
[ -x "$base/bin/sh" ] || make_base

# ---- a copy, as this machine reaches the network ---------------------------------------------------------------------------
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$root"' EXIT
trap 'exit 130' INT TERM
for old in "$roots"/*.run.*; do [ ! -d "$old" ] || kill -0 "${old##*.}" 2>/dev/null || rm -rf "$old"; done
cp -a "$base" "$root"
cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null
cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null
[ ! -f "$HOME/.npmrc" ] || cp "$HOME/.npmrc" "$root/root/.npmrc"

# Runs a command in the copy. Of this machine's /dev only what every program needs is bound; all of it goes with the namespace.
enter() {
    export ROOT="$root" DEBS="$debs"
    # shellcheck disable=SC2016
    exec unshare --mount --pid --fork --kill-child sh -c '
        mount -t proc proc "$ROOT/proc" && mount -t sysfs -o ro sysfs "$ROOT/sys" &&
        mount -t tmpfs -o mode=755 dev "$ROOT/dev" && mkdir "$ROOT/dev/pts" "$ROOT/dev/shm" &&
        mount -t devpts -o newinstance,ptmxmode=666 devpts "$ROOT/dev/pts" && mount -t tmpfs -o mode=1777 shm "$ROOT/dev/shm" &&
        ln -s pts/ptmx "$ROOT/dev/ptmx" && ln -s /proc/self/fd "$ROOT/dev/fd" &&
        for d in null zero full random urandom tty; do : > "$ROOT/dev/$d"; mount --bind "/dev/$d" "$ROOT/dev/$d" || exit; done &&
        mount --bind "$DEBS" "$ROOT/var/cache/apt/archives" &&
        exec chroot "$ROOT" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
            NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt sh -c "cd /gossamer && $1"' sh "$1"
}
inside() { (enter "$1"); }
mkdir "$root/gossamer"
inside 'update-ca-certificates > /dev/null 2>&1
    printf "%s\n" "Acquire::Check-Valid-Until \"false\";" "Acquire::Check-Date \"false\";" > /etc/apt/apt.conf.d/99fresh
    echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/fresh; apt-get update -qq' > "$log" 2>&1 || { tail -3 "$log"; skip "apt in the root reaches no mirror"; }

# ---- what is tried -------------------------------------------------------------------------------------------------------------
answers() { # COMMAND: says what the demo model is to say
    began=$(date +%s)
    got=$(inside "$1 $ask" 2>>"$log")
    echo "$suite: $1 answered after $(($(date +%s) - began)) s"
    if [ "$got" = "$answer" ]; then ok; else bad "$1 said: $got"; tail -20 "$log"; done_with; fi
}
serves() { # COMMAND: the server's line with its address comes after the page's engine is built
    began=$(date +%s)
    enter "$1 serve --port 0" > "$log.serve" 2>&1 &
    server=$! url=
    while [ -z "$url" ] && kill -0 "$server" 2>/dev/null; do
        sleep 0.2
        url=$(sed -n 's#.*listening on \(http:[^ ]*\)/ .*#\1#p' "$log.serve")
    done
    [ -n "$url" ] || { bad "$1 serve ended without an address"; tail -20 "$log.serve"; server=; return; }
    echo "$suite: $1 serve listened after $(($(date +%s) - began)) s"
    if python3 tests/fresh_page.py "$url" "$question" "$answer"; then ok; else bad "the page or the API failed"; fi
    if [ -x "${CHROMIUM:-/usr/bin/chromium}" ] && [ -d node_modules/playwright-core ]; then
        URL=$url timeout 300 node tests/web/at.mjs || bad "the page failed in Chromium"
    else echo "SKIP fresh $suite: no Chromium here, the page was only fetched"; fi
    kill -KILL "$server"; wait "$server" 2>/dev/null; server=
}

if [ "$mode" = --dist ]; then
    make -s dist >> "$log" 2>&1 || { bad "make dist failed"; tail "$log"; done_with; }
    tar -xzf build/dist/gossamer-*.tar.gz -C "$root/gossamer" --strip-components=1 || { bad "the tarball can't be unpacked"; done_with; }
    needs=$(sed -n 's/^apt-get install //p' "$root/gossamer/README.md")
    inside "! command -v cc gcc clang && apt-get install -y -qq --no-install-recommends $needs" >> "$log" 2>&1 || { bad "apt has not: $needs"; done_with; }
    answers bin/gossamer
    serves bin/gossamer
    done_with
fi
git clone -q --no-hardlinks . "$root/gossamer" || { bad "git clone failed"; done_with; }
if [ "$mode" = --gpu ]; then
    if cc -std=c11 -Isrc -idirafter "$root/usr/include" tests/gpu/abi.c -o build/test/abi && build/test/abi; then ok
    else bad "webgpu_abi.h is not that of $suite"; fi
    mkdir -p "$root/gossamer/build/cc/unit"
    cp -a build/cc/gossamer build/cc/gossamer-check "$root/gossamer/build/cc/" && cp -a build/cc/unit/test_gpu_* "$root/gossamer/build/cc/unit/"
    on_lavapipe() {
        if inside "export VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.json GOSSAMER_GPU_PACKED=1; $1" 2>&1; then ok; else bad "$1 failed"; fi
    }
    # lavapipe takes minutes to compile the products: MATRICES=full
    kernels="to_halves attend_fragments sum_parts"
    [ "${MATRICES:-}" != full ] || kernels="$kernels matmul_fragments"
    for kernel in $kernels; do on_lavapipe "build/cc/gossamer-check --gpu --level adapter --test $kernel"; done
    for choice in "" bytes floats halves; do
        [ "${MATRICES:-}" != full ] || on_lavapipe "${choice:+unset GOSSAMER_GPU_PACKED; GOSSAMER_GPU_KERNELS=tests/gpu/$choice.txt }build/cc/unit/test_gpu_parity models/demo-gptoss-draft.gguf"
    done
    # a crowd's logits and products
    on_lavapipe "build/cc/unit/test_gpu_rows"
    [ "${MATRICES:-}" != full ] || on_lavapipe "build/cc/unit/test_gpu_sample"
    done_with
fi
compiles() { # COMPILER
    b=build/$1 tests="test_base test_json test_quant test_cpu test_golden test_engine_chat"
    inside "make -s -k -j$(nproc) CC=$1 WERROR=-Werror all check-bin $(for t in $tests; do printf ' %s/unit/%s' "$b" "$t"; done)" > "$log.$1" 2>&1 || {
        bad "$1 does not build it"; grep -E 'error|warning' "$log.$1" | head; return; }
    if [ -s "$log.$1" ]; then bad "$1 said something"; head "$log.$1"; fi
    got=$(inside "$b/gossamer-check && for t in $tests; do $b/unit/\$t || exit; done && $b/gossamer $ask" 2>&1)
    if [ "$(echo "$got" | tail -1)" = "$answer" ]; then ok; echo "$suite: $(inside "$1 --version | head -1") builds and passes"
    else bad "$1: what it built fails"; echo "$got" | tail; fi
}
if [ "$mode" = -cc ]; then
    libraries="make gcc libc6-dev libcurl4-openssl-dev libmicrohttpd-dev zlib1g-dev"
    inside "apt-get install -y -qq --no-install-recommends $libraries $*" >> "$log" 2>&1 || { bad "apt has not: $*"; done_with; }
    for cc in "$@"; do compiles "$cc"; done
    done_with
fi
answers ./run
serves ./run
if grep -h 'warning:' "$log" "$log.serve"; then bad "compilers warned"; else ok; fi
inside 'cc --version | head -1; sh tools/clang.sh wasm; ldconfig -p | grep -o "libwebgpu_dawn.so.0 "' 2>/dev/null | sed "s/^/$suite: has /"
if inside 'command -v python3' > /dev/null; then
    got=$(inside 'python3 examples/hello.py' 2>&1)
    if [ "$got" = "$answer" ]; then ok; else bad "examples/hello.py said: $got"; fi
fi
if [ "$mode" = --test ]; then
    if inside ./test > "$log.test" 2>&1; then ok; else bad "./test failed"; fi
    grep -E '^[a-z-]+: +[0-9]+ ok|SKIP|^[0-9]+ passed' "$log.test" | sed "s/^/$suite: /"
fi
done_with
