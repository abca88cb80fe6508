#!/bin/sh
# npm_cached.sh FOLDER NAME - installs what FOLDER's lock pins, once for all clones, and prints where: a folder under
# ~/.cache/gossamer that the lock's sum names. Fails with npm's last line where npm can't. No install script runs.
set -eu
to=${XDG_CACHE_HOME:-$HOME/.cache}/gossamer/$2-$(cksum < "$1/package-lock.json" | cut -d' ' -f1)
mkdir -p "$to"
exec 9> "$to/lock"
flock 9                                      # two suites may want the same
if [ ! -f "$to/complete" ]; then
    cp "$1/package.json" "$1/package-lock.json" "$to/"
    # Optional packages of other machines may be missing in the lock, where a registry lacks them: npm refuses `ci` then.
    npm_do() { (cd "$to" && npm "$@" --no-audit --no-fund --ignore-scripts --loglevel=error) > "$to/npm.log" 2>&1; }
    npm_do ci || npm_do install --no-save || { tail -1 "$to/npm.log"; exit 1; }
    touch "$to/complete"
fi
echo "$to"
