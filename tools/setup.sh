#!/bin/sh
# setup.sh LEVEL - installs what is missing and says what it installs. Quick when nothing is.
#   LEVEL run: compiler and libraries; a WebGPU library for the GPU       page: also what the page's wasm is built with
#         test: also what ./test needs                                    full: also what ./test full needs
# Debian and Ubuntu through apt and npm; on other systems it says exactly what to install. It fails only where something is
# absent that the level can't do without. All else is tried once, and what it would have been good for is said.
set -eu
cd "$(dirname "$0")/.."
level=${1:-run}
at_least() { case "$1:$level" in run:* | page:page | page:test | page:full | test:test | test:full | full:full) ;; *) return 1;; esac; }
say() { echo "setup: $*" >&2; }

have_apt() { command -v dpkg-query >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; }
installed() { [ "$(dpkg-query -W -f='${Status}' "$1" 2>/dev/null)" = "install ok installed" ]; }
in_apt() { apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'; }
compiles() { echo 'int main(void) { return 0; }' | ${CC:-cc} -x c -o /dev/null - 2>/dev/null; }
can() { sh tools/clang.sh "$1" >/dev/null 2>&1; }
on() { grep -q "^ID=$1" /etc/os-release 2>/dev/null; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else say "needs root or sudo to run: $*"; return 1; fi
}
apt_install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2; }
apt_update() { [ -n "${updated:-}" ] || as_root apt-get update -qq >&2 || return 1; updated=1; }

# The clang's number that this apt has: 19 first, as tools/clang.sh looks; nothing: the package without a number.
apt_clang() {
    for n in 19 20 21 22 23 24 25; do
        if in_apt "clang-$n" && in_apt "lld-$n"; then echo "-$n"; return; fi
    done
}

# ---- what each level can't do without, and what it works without -----------------------------------------------------
needed() {
    compiles || echo "gcc"
    echo "make libc6-dev libcurl4-openssl-dev libmicrohttpd-dev zlib1g-dev"
    ! at_least page || can wasm || echo "wasi-libc clang$(apt_clang) lld$(apt_clang)"
    ! at_least test || echo "python3 curl"
    ! at_least full || echo "git"
}
wanted() {
    echo "libvulkan1"
    # A WebGPU library: the system's, or the npm package. npm comes with some builds of nodejs and as a package of its own with others.
    if in_apt libwebgpu-dawn0; then echo "libwebgpu-dawn0"; at_least test || return 0; fi
    command -v npm >/dev/null 2>&1 || echo "nodejs npm"
    if at_least test; then
        echo "g++ pkg-config clang-format mypy"
        ! on debian || echo "chromium"       # Ubuntu's are not packages: CHROMIUM=PATH, or the browser tests say SKIP
    fi
    if at_least full; then
        echo "qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross mesa-vulkan-drivers wrk mmdebstrap haproxy libopenmpi-dev openmpi-bin"
        can san || echo "clang$(apt_clang) libclang-rt$(apt_clang)-dev"
        ! on debian || echo "firefox-esr"
    fi
}
missing_of() { # KIND: which of its packages are not installed
    for p in $("$1"); do installed "$p" || printf ' %s' "$p"; done
}

apt_needed() {
    [ -n "$(missing_of needed)" ] || return 0
    apt_update || true
    missing=$(missing_of needed)             # once more: which clang apt has is known only now
    say "installing with apt:$missing"
    # shellcheck disable=SC2086
    apt_install $missing || { say "apt could not install all of:$missing"; return 1; }
}

apt_wanted() {
    [ -n "$(missing_of wanted)" ] || return 0
    apt_update || true
    have='' lack=''
    for p in $(missing_of wanted); do
        if in_apt "$p"; then have="$have $p"; else lack="$lack $p"; fi
    done
    [ -z "$have" ] || say "installing with apt:$have"
    # shellcheck disable=SC2086
    [ -z "$have" ] || apt_install $have || for p in $have; do apt_install "$p" || lack="$lack $p"; done
    [ -z "$lack" ] || say "goes on without:$lack ($(good_for))"
}
good_for() {
    if at_least test; then echo "suites that need them say SKIP or fail"; else echo "they are for the GPU"; fi
}

other_system() {
    lacking=
    compiles || lacking="$lacking cc"
    command -v make >/dev/null 2>&1 || lacking="$lacking make"
    for lib in libcurl libmicrohttpd zlib; do
        pkg-config --exists $lib 2>/dev/null || lacking="$lacking $lib(development files, pkg-config)"
    done
    ! at_least page || can wasm || lacking="$lacking clang lld wasi-libc(from clang 19 on)"
    ! at_least test || command -v python3 >/dev/null 2>&1 || lacking="$lacking python3"
    command -v npm >/dev/null 2>&1 || say "goes on without npm (it is for the GPU and the tests)"
    [ -z "$lacking" ] && return 0
    say "this is not Debian or Ubuntu; please install:$lacking"
    echo "       macOS (Homebrew): xcode-select --install; brew install make pkg-config curl libmicrohttpd zlib node llvm lld wasi-libc" >&2
    echo "       Fedora: dnf install gcc make libcurl-devel libmicrohttpd-devel zlib-devel pkgconf nodejs clang lld wasi-libc-devel vulkan-loader" >&2
    return 1
}

# ---- npm: the tests' packages; below that the WebGPU library, where the system has none ------------------------------
npm_setup() {
    stamp=node_modules/.gossamer-$(at_least test && echo test || echo run)
    lock=$(cksum < package-lock.json)
    for s in "$stamp" node_modules/.gossamer-test; do
        [ -f "$s" ] && [ "$(cat "$s")" = "$lock" ] && return 0
    done
    say "installing npm packages (pinned in package-lock.json)"
    omit=; at_least test || omit=--omit=dev
    # shellcheck disable=SC2086
    npm ci --no-audit --no-fund --ignore-scripts --loglevel=error $omit >&2 || { say "goes on without npm's packages ($(good_for))"; return 0; }
    echo "$lock" > "$stamp"
}

# What is merely wanted is tried once, until one of these files changes or node_modules goes: what can't be had costs no time again.
tried=node_modules/.gossamer-tried-$level
sum=$(cat tools/setup.sh package-lock.json /etc/os-release 2>/dev/null | cksum)

if have_apt; then apt_needed; else other_system; fi
if [ -f "$tried" ] && [ "$(cat "$tried")" = "$sum" ]; then exit 0; fi
! have_apt || apt_wanted
if at_least test || ! have_apt || ! installed libwebgpu-dawn0; then npm_setup; fi
mkdir -p node_modules
echo "$sum" > "$tried"
