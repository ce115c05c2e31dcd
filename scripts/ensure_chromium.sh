#!/bin/sh
# Prints the path of a Chromium (or Chrome) that starts; everything else goes to stderr.
#
#   scripts/ensure_chromium.sh           finds one, else installs one where that needs no question
#   scripts/ensure_chromium.sh --find    only looks (exit 1: none)
#
# CHROMIUM_PATH names a browser of your own.
set -eu
cd "$(dirname "$0")/.."

# Running it is the only proof: Ubuntu's chromium-browser may be a note that a snap is missing.
starts() { "$1" --version >/dev/null 2>&1 </dev/null; }

find_chromium() {
    if [ -n "${CHROMIUM_PATH:-}" ]; then
        # Somebody's wish: a wrong one is an error, not a reason to take another browser.
        starts "$CHROMIUM_PATH" && echo "$CHROMIUM_PATH" && return
        echo "CHROMIUM_PATH=$CHROMIUM_PATH does not start." >&2
        exit 2
    fi
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        path=$(command -v "$name" 2>/dev/null) || continue
        starts "$path" && echo "$path" && return
    done
    # macOS applications, then what `playwright install chromium` keeps in the user's cache.
    for path in \
        "/Applications/Chromium.app/Contents/MacOS/Chromium" \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
        "${HOME:-}/Applications/Chromium.app/Contents/MacOS/Chromium" \
        "${HOME:-}/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
        "${HOME:-}"/.cache/ms-playwright/chromium-*/chrome-linux*/chrome \
        "${HOME:-}"/Library/Caches/ms-playwright/chromium-*/chrome-mac*/*.app/Contents/MacOS/*; do
        [ -x "$path" ] && starts "$path" && echo "$path" && return
    done
    return 1
}

# Runs one step of an installation; its output is shown only when it fails.
quietly() {
    if "$@" >"$log" 2>&1 </dev/null; then
        return 0
    fi
    echo "\"$*\" failed:" >&2
    tail -n 15 "$log" >&2
    return 1
}

install_chromium() {
    if [ "$(id -u)" -eq 0 ]; then
        as_root="env"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
        as_root="sudo -n env"
    else
        as_root=
    fi
    # Debian only: Ubuntu's package of that name brings a snap, which cannot see /tmp.
    if [ -n "$as_root" ] && grep -qs '^ID=debian' /etc/os-release; then
        echo "Installing Chromium with apt-get (for the browser tests) ..." >&2
        quietly $as_root DEBIAN_FRONTEND=noninteractive apt-get update -q \
            && quietly $as_root DEBIAN_FRONTEND=noninteractive \
                apt-get install -q -y --no-install-recommends \
                chromium fonts-dejavu-core fonts-liberation \
            && return
    fi
    if [ "$(uname)" = Darwin ] && command -v brew >/dev/null 2>&1; then
        echo "Installing Google Chrome with brew (for the browser tests) ..." >&2
        quietly env NONINTERACTIVE=1 brew install --cask google-chrome && return
    fi
    # Everywhere else Playwright's own build: no administrator needed, kept in the user's cache.
    if [ -x .venv/bin/python ] && .venv/bin/python -c 'import playwright' 2>/dev/null; then
        echo "Installing Chromium with Playwright (for the browser tests) ..." >&2
        quietly .venv/bin/python -m playwright install chromium && return
    fi
    return 1
}

find_chromium && exit 0
[ "${1:-}" != --find ] || exit 1

log=$(mktemp "${TMPDIR:-/tmp}/ensure_chromium.XXXXXX")
trap 'rm -f "$log"' EXIT
install_chromium && find_chromium && exit 0

echo "The browser tests need Chromium: install it (Debian: apt-get install chromium; else Google Chrome) or set CHROMIUM_PATH; 'make test BROWSER=0' runs the rest." >&2
exit 1
