#!/bin/sh
# quick: tools/setup.sh against an apt and an npm of our own: what it asks for, what it goes on without, what stops it
# cores 1
set -u
passed=0 failed=0
here=$PWD/build/test/setup bin=$PWD/build/test/setup-bin
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "$name: $*"; sed 's/^/    /' "$here/said"; }

# ---- a machine: $here/installed, what its apt has ($here/apt), what apt can't install ($here/broken), npm's exit ($here/npm) ------
rm -rf "$bin"; mkdir -p "$bin"
program() { cat > "$bin/$1"; chmod +x "$bin/$1"; }
program dpkg-query <<'SH'
#!/bin/sh
for p; do :; done
grep -qx -- "$p" "$M/installed" && echo "install ok installed"
SH
program apt-cache <<'SH'
#!/bin/sh
if grep -qx -- "$2" "$M/apt"; then echo "  Candidate: 1"; else echo "  Candidate: (none)"; fi
SH
program apt-get <<'SH'
#!/bin/sh
echo "apt-get $*" >> "$M/calls"
[ "$1" = install ] || exit 0
shift
for p; do case $p in -*) ;; *) grep -qx -- "$p" "$M/apt" && ! grep -qx -- "$p" "$M/broken" || { echo "no $p" >&2; exit 100; };; esac; done
for p; do case $p in -*) ;; *) echo "$p" >> "$M/installed";; esac; done
SH
program npm <<'SH'
#!/bin/sh
echo "npm $*" >> "$M/calls"
mkdir -p node_modules
exit "$(cat "$M/npm")"
SH
program cc <<'SH'
#!/bin/sh
grep -qx gcc "$M/installed"
SH
printf '#!/bin/sh\nexec "$@"\n' | program sudo
machine() { # NAME: everything that a Debian 12 has, nothing installed
    name=$1
    rm -rf "$here"; mkdir -p "$here/tools"
    cp tools/setup.sh "$here/tools/"; cp package-lock.json "$here/"
    # a clang that works, where one and its lld are installed
    echo 'grep -q "^clang" "$M/installed" && grep -q "^lld" "$M/installed" && grep -qx wasi-libc "$M/installed"' > "$here/tools/clang.sh"
    printf '%s\n' gcc make libc6-dev libcurl4-openssl-dev libmicrohttpd-dev zlib1g-dev libvulkan1 wasi-libc nodejs npm clang-19 lld-19 clang lld \
        python3 curl g++ pkg-config clang-format mypy chromium > "$here/apt"
    : > "$here/installed"; : > "$here/broken"; : > "$here/calls"; echo 0 > "$here/npm"
}
setup() { (cd "$here" && M=$here PATH=$bin:$PATH sh tools/setup.sh "$1" > said 2>&1); }
has() { for p; do grep -qx -- "$p" "$here/installed" || bad "lacks $p"; done; }
lacks() { for p; do ! grep -qx -- "$p" "$here/installed" || bad "has $p"; done; }

machine "the program needs no clang"
if setup run; then ok; else bad "failed"; fi
has gcc make libcurl4-openssl-dev libmicrohttpd-dev zlib1g-dev libvulkan1; lacks clang-19 lld-19 wasi-libc python3
: > "$here/calls"
if setup run && [ ! -s "$here/calls" ]; then ok; else bad "asked again: $(cat "$here/calls")"; fi
if setup page; then ok; else bad "the page: failed"; fi
has clang-19 lld-19 wasi-libc

machine "a newer clang"
grep -v '^clang-19$\|^lld-19$' "$here/apt" > "$here/a"; printf 'clang-21\nlld-21\nclang-22\n' >> "$here/a"; mv "$here/a" "$here/apt"
if setup page; then ok; else bad "failed"; fi
has clang-21 lld-21; lacks clang clang-22

machine "a clang that works is enough"
printf 'clang-20\nlld-20\nwasi-libc\n' > "$here/installed"
if setup page; then ok; else bad "failed"; fi
lacks clang-19 lld-19 clang lld

machine "no clang at all stops the page, not the program"
grep -v '^clang\|^lld' "$here/apt" > "$here/a"; mv "$here/a" "$here/apt"
if setup run; then ok; else bad "the program: failed"; fi
if setup page; then bad "the page: did not fail"; else ok; fi

machine "what is merely useful stops nothing, and is asked for once"
grep -v '^libvulkan1$' "$here/apt" > "$here/a"; mv "$here/a" "$here/apt"; echo mypy > "$here/broken"; echo 1 > "$here/npm"
if setup test; then ok; else bad "failed"; fi
has python3 curl chromium g++; lacks mypy
grep -q 'goes on without:.* libvulkan1' "$here/said" && grep -q 'goes on without:.* mypy' "$here/said" && grep -q "goes on without npm's" "$here/said" || bad "did not say without what"
: > "$here/calls"
if setup test && [ ! -s "$here/calls" ]; then ok; else bad "asked again: $(cat "$here/calls")"; fi

machine "what is needed stops it"
echo libmicrohttpd-dev > "$here/broken"
if setup run; then bad "did not fail"; else ok; fi
grep -q 'could not install all of:.* libmicrohttpd-dev' "$here/said" || bad "did not say what"

machine "the system's WebGPU library instead of npm's"
echo libwebgpu-dawn0 >> "$here/apt"
if setup run; then ok; else bad "failed"; fi
has libwebgpu-dawn0; lacks npm nodejs
if grep -q npm "$here/calls"; then bad "asked npm"; fi
if setup test && grep -q '^npm ci' "$here/calls"; then ok; else bad "the tests' packages were not installed"; fi

echo "setup: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
