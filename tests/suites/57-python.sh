#!/bin/sh
# quick: the Python package: its structures against the header, its types, its wheel in a venv without network, chat and sessions
# cores 1, build lib wheel
set -u
command -v python3 > /dev/null || { echo "SKIP python: no python3"; echo "python: 0 passed, 0 failed, 1 skipped"; exit 0; }
bad=0 venv=build/test/python-venv
python3 tests/python/layout.py || bad=1
if command -v mypy > /dev/null; then
    if (cd python && mypy --strict --cache-dir=../build/test/mypy gossamer); then echo "python types: 1 passed, 0 failed"
    else echo "python types: 0 passed, 1 failed"; bad=1; fi
else echo "SKIP python types: mypy is not installed"; echo "python types: 0 passed, 0 failed, 1 skipped"; fi

# Same inputs, same bytes; pip installs it without network, or, where venv brings no pip, it is unpacked.
make -s wheel > /dev/null || { echo "python: 0 passed, 1 failed"; exit 1; }
wheel=$(ls -t build/dist/gossamer_llm-*.whl | head -1) sum=$(cksum < "$wheel")
make -s wheel > /dev/null
if [ "$sum" = "$(cksum < "$wheel")" ]; then echo "wheel: 1 passed, 0 failed"; else echo "two wheels differ: 0 passed, 1 failed"; bad=1; fi
rm -rf "$venv"
if python3 -m venv "$venv" > /dev/null 2>&1; then
    "$venv/bin/python" -m pip install -q --no-index --no-deps --disable-pip-version-check "$wheel" || { echo "pip: 0 passed, 1 failed"; exit 1; }
else
    echo "SKIP pip: this python makes no venv with it; the wheel is unpacked"
    python3 -m venv --without-pip --clear "$venv" || exit 1
    "$venv/bin/python" -c 'import sys, sysconfig, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sysconfig.get_path("purelib"))' "$wheel"
fi
(unset PYTHONPATH GOSSAMER_LIBRARY; GOSSAMER_MODEL=$PWD/models/demo-gptoss.gguf timeout 300 "$venv/bin/python" tests/python/test_gossamer.py) || bad=1

# The example from a clone, called from anywhere.
got=$(cd / && python3 "$OLDPWD/examples/hello.py" 2>&1)
if [ "$got" = "July comes after June." ]; then echo "hello.py: 1 passed, 0 failed"; else echo "hello.py said: $got"; echo "hello.py: 0 passed, 1 failed"; bad=1; fi
exit $bad
