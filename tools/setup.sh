#!/bin/sh
# setup.sh LEVEL - installs what is missing and says what it installs. Quick when nothing is.
#   LEVEL run: compiler, libraries, the wasm toolchain, the npm packages of the product
#         test: also what ./test needs      full: also what ./test full needs
# Debian and Ubuntu through apt; on other systems it says exactly what to install and stops only if a needed tool is absent.
set -eu
cd "$(dirname "$0")/.."
level=${1:-run}

run_pkgs="gcc make libc6-dev libcurl4-openssl-dev libmicrohttpd-dev zlib1g-dev pkg-config nodejs wasi-libc clang-19 lld-19 libvulkan1"
test_pkgs="python3 g++ curl clang-format"
full_pkgs="git clang-19 libclang-rt-19-dev qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross mesa-vulkan-drivers wrk"
on_debian_only="chromium"                # Ubuntu's are not packages: CHROMIUM=PATH, or the browser tests say SKIP
on_debian_only_full="firefox-esr"

have_dpkg() { command -v dpkg-query >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; }
installed() { [ "$(dpkg-query -W -f='${Status}' "$1" 2>/dev/null)" = "install ok installed" ]; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else echo "setup: needs root or sudo to run: $*" >&2; return 1; fi
}

apt_setup() {
    wanted=$run_pkgs
    [ "$level" = run ] || wanted="$wanted $test_pkgs"
    [ "$level" != full ] || wanted="$wanted $full_pkgs"
    if grep -q '^ID=debian' /etc/os-release 2>/dev/null; then
        [ "$level" = run ] || wanted="$wanted $on_debian_only"
        [ "$level" != full ] || wanted="$wanted $on_debian_only_full"
    fi
    # npm comes with some builds of nodejs and as a package of its own with others.
    command -v npm >/dev/null 2>&1 || wanted="$wanted npm"
    missing=
    for p in $wanted; do installed "$p" || missing="$missing $p"; done
    [ -n "$missing" ] || return 0
    echo "setup: installing with apt:$missing" >&2
    as_root apt-get update -qq >&2
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2 || {
        echo "setup: apt could not install all of:$missing" >&2; return 1; }
}

other_system() {
    lacking=
    for tool in cc make node npm pkg-config; do command -v $tool >/dev/null 2>&1 || lacking="$lacking $tool"; done
    for lib in libcurl libmicrohttpd zlib; do
        pkg-config --exists $lib 2>/dev/null || lacking="$lacking $lib(development files)"
    done
    [ -z "$lacking" ] && return 0
    echo "setup: this is not Debian or Ubuntu; please install:$lacking" >&2
    echo "       macOS (Homebrew): xcode-select --install; brew install make pkg-config curl libmicrohttpd zlib node llvm lld wasi-libc" >&2
    echo "       Fedora: dnf install gcc make libcurl-devel libmicrohttpd-devel zlib-devel pkgconf nodejs clang lld wasi-libc-devel vulkan-loader" >&2
    return 1
}

npm_setup() {
    stamp=node_modules/.gossamer-$([ "$level" = run ] && echo run || echo test)
    sum=$(cksum < package-lock.json)
    for s in "$stamp" node_modules/.gossamer-test; do
        [ -f "$s" ] && [ "$(cat "$s")" = "$sum" ] && return 0
    done
    echo "setup: installing npm packages (pinned in package-lock.json)" >&2
    omit=; [ "$level" != run ] || omit=--omit=dev
    # shellcheck disable=SC2086
    npm ci --no-audit --no-fund --ignore-scripts --loglevel=error $omit >&2
    echo "$sum" > "$stamp"
}

if have_dpkg; then apt_setup; else other_system; fi
npm_setup
