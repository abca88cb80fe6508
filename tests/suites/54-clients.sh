#!/bin/sh
# full: libraries of others against the server: openai 6 and 7, Anthropic's, Ollama's, the AI SDK, OpenAI's agents, LangChain
# cores 1, build all
set -u
CLIENTS=$(sh tests/npm_cached.sh tests/clients/sdks clients) || {
    echo "SKIP clients: npm could not install them: $CLIENTS"; echo "0 passed, 0 failed, 1 skipped"; exit 0
}
export CLIENTS GOSSAMER=$PWD/$V/gossamer
bad=0
for t in openai anthropic ollama vercel agents_sdk langchain; do
    timeout 300 node --import ./tests/clients/packages.mjs tests/clients/$t.mjs || bad=1
done
exit $bad
