#!/bin/sh
# quick: make install into a folder; the examples as C, as C++ and from Python against what was installed
# cores 1, build all
set -u
passed=0 failed=0 skipped=0
root="$PWD/build/test/install"; prefix="$root/usr"
want="July comes after June."
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "$1"; }
says() { # name, command...
    name=$1; shift
    got=$("$@" 2>/dev/null); rc=$?
    if [ $rc -eq 0 ] && [ "$got" = "$want" ]; then ok; else bad "$name: status $rc, said: $got"; fi
}
rm -rf "$root"; mkdir -p "$root"
make -s install PREFIX="$prefix" || { echo "0 passed, 1 failed"; exit 1; }
layer=lib/gossamer/vulkan/gossamer_one_gpu
for f in bin/gossamer lib/libgossamer.a lib/libgossamer.so lib/pkgconfig/gossamer.pc $layer.so $layer.json include/gossamer.h share/gossamer/models/demo-gptoss.gguf share/gossamer/web/index.html; do
    if [ -e "$prefix/$f" ]; then ok; else bad "$f was not installed"; fi
done
if [ "$(wc -l < examples/hello.c)" -le 60 ]; then ok; else bad "examples/hello.c is longer than 60 lines"; fi
if command -v pkg-config > /dev/null; then
    flags=$(PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config --cflags --libs gossamer)
else
    flags="-I$prefix/include -L$prefix/lib -lgossamer"
    echo "SKIP pkg-config is not installed: its file was not read"; skipped=$((skipped + 1))
fi
model="$prefix/share/gossamer/models/demo-gptoss.gguf"
# shellcheck disable=SC2086
if cc -std=c11 -Wall -Wextra -Wpedantic -Werror examples/hello.c -o "$root/hello-c" $flags -Wl,-rpath,"$prefix/lib"; then
    says "as C" "$root/hello-c" "$model"
else bad "hello.c does not compile as C"; fi
if cc -std=c11 examples/hello.c -o "$root/hello-static" -I"$prefix/include" "$prefix/lib/libgossamer.a" -lm -lpthread -ldl; then
    says "with the static library" "$root/hello-static" "$model"
else bad "hello.c does not link with the static library"; fi
# shellcheck disable=SC2086
if command -v c++ > /dev/null; then
    if c++ -x c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror examples/hello.c -o "$root/hello-cpp" $flags -Wl,-rpath,"$prefix/lib"; then
        says "as C++" "$root/hello-cpp" "$model"
    else bad "hello.c does not compile as C++"; fi
else echo "SKIP no C++ compiler"; skipped=$((skipped + 1)); fi
if command -v python3 > /dev/null; then
    says "from Python" env GOSSAMER_LIBRARY="$prefix/lib/libgossamer.so" python3 examples/hello.py "$model" "Which month comes after June?"
else echo "SKIP no python3"; skipped=$((skipped + 1)); fi
# the installed program finds the demo model by itself, wherever it is called
says "the installed program" sh -c "cd / && '$prefix/bin/gossamer' run -p 'Which month comes after June?' --temp 0 --date 2025-06-28 2>/dev/null"
echo "install: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
