#!/bin/sh
# Makes sure that what the browser tests need starts: Chromium (or Chrome), and the driver of Playwright in .venv.
# Prints the path of Chromium; everything else goes to stderr. The headless shell is preferred: Chromium without the parts
# that draw its windows, made for tests.
#
#   scripts/ensure_chromium.sh           looks, and installs what is missing where that needs no question
#   scripts/ensure_chromium.sh --find    only looks
#
# Exit 1: something is still missing, and one line says what. CHROMIUM_PATH names a browser of your own.
set -eu
cd "$(dirname "$0")/.."

# Running it is the only proof: Ubuntu's chromium-browser may be a note that a snap is missing.
starts() { "$1" --version >/dev/null 2>&1 </dev/null; }

find_chromium() {
    if [ -n "${CHROMIUM_PATH:-}" ]; then
        # Somebody's wish: a wrong one is an error, not a reason to take another browser.
        starts "$CHROMIUM_PATH" && echo "$CHROMIUM_PATH"
        return
    fi
    find_headless_shell || find_whole_chromium
}

find_headless_shell() {
    # Debian's package, then what `playwright install` keeps in the user's cache.
    for path in \
        "$(command -v chromium-headless-shell 2>/dev/null)" \
        "${HOME:-}"/.cache/ms-playwright/chromium_headless_shell-*/*/*headless*shell \
        "${HOME:-}"/Library/Caches/ms-playwright/chromium_headless_shell-*/*/*headless*shell; do
        [ -x "$path" ] && starts "$path" && echo "$path" && return
    done
    return 1
}

find_whole_chromium() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        path=$(command -v "$name" 2>/dev/null) || continue
        starts "$path" && echo "$path" && return
    done
    # macOS applications.
    for path in \
        "/Applications/Chromium.app/Contents/MacOS/Chromium" \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
        "${HOME:-}/Applications/Chromium.app/Contents/MacOS/Chromium" \
        "${HOME:-}/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
        [ -x "$path" ] && starts "$path" && echo "$path" && return
    done
    return 1
}

# Whoever runs the tests without .venv has another driver, which is not looked at.
has_playwright() { [ -x .venv/bin/python ] && .venv/bin/python -c 'import playwright' 2>/dev/null; }

# The driver is a program of its own. When it does not start, this prints why.
driver_error() {
    if has_playwright && ! words=$(.venv/bin/python -m playwright --version 2>&1 </dev/null); then
        echo "$words" | sed -e 's|.*/driver/||' -e q
    fi
}

# Sets `chromium` (empty: none starts), `error` (empty: the driver starts) and what apt-get can bring: `packages` that are
# needed, and `lighter`, the headless shell where a whole Chromium would do.
look() {
    chromium=$(find_chromium) || chromium=
    error=$(driver_error)
    packages=
    lighter=
    command -v apt-get >/dev/null 2>&1 || return 0
    # Debian only: Ubuntu's Chromium is a snap, which cannot see /tmp.
    if grep -qs '^ID=debian' /etc/os-release; then
        if [ -z "$chromium" ]; then
            packages="chromium-headless-shell fonts-dejavu-core fonts-liberation"
        elif [ -z "${CHROMIUM_PATH:-}" ] && ! find_headless_shell >/dev/null; then
            lighter=chromium-headless-shell
        fi
    fi
    # The one library of the driver that a minimal Debian or Ubuntu does not have.
    [ -z "$error" ] || packages="${packages:+$packages }libatomic1"
}

is_complete() { [ -n "$chromium" ] && [ -z "$error" ]; }

# Runs one step of an installation; its output is shown only when it fails.
quietly() {
    if "$@" >"$log" 2>&1 </dev/null; then
        return 0
    fi
    echo "\"$*\" failed:" >&2
    tail -n 15 "$log" >&2
    return 1
}

install_packages() {
    if [ "$(id -u)" -eq 0 ]; then
        as_root="env"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
        as_root="sudo -n env"
    else
        return 0
    fi
    echo "Installing $* with apt-get (for the browser tests) ..." >&2
    quietly $as_root DEBIAN_FRONTEND=noninteractive apt-get update -q \
        && quietly $as_root DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "$@"
}

install_browser() {
    # Playwright's own build: no administrator needed, kept in the user's cache.
    if [ -z "$error" ] && has_playwright; then
        echo "Installing Chromium with Playwright (for the browser tests) ..." >&2
        quietly .venv/bin/python -m playwright install --only-shell chromium
    fi
}

# A step that fails is no end: what matters is what starts afterwards.
install_what_is_missing() {
    log=$(mktemp "${TMPDIR:-/tmp}/ensure_chromium.XXXXXX")
    trap 'rm -f "$log"' EXIT
    if [ -n "$packages$lighter" ]; then
        install_packages $packages $lighter || true
        look
    fi
    if [ -z "$chromium" ]; then
        install_browser || true
        look
    fi
}

say_what_is_missing() {
    what="Chromium"
    remedy="install Google Chrome or set CHROMIUM_PATH"
    if [ -n "$chromium" ]; then
        what="Playwright's driver"
        remedy="install what it lacks"
    elif [ -n "$error" ]; then
        what="Chromium and Playwright's driver"
    fi
    [ -z "$packages" ] || remedy="as root: apt-get install $packages"
    echo "The browser tests need $what, which does not start here${error:+ ($error)}: $remedy. 'make test BROWSER=0' runs the rest." >&2
}

look
if [ -z "$chromium" ] && [ -n "${CHROMIUM_PATH:-}" ]; then
    echo "CHROMIUM_PATH=$CHROMIUM_PATH does not start." >&2
    exit 2
fi
[ "${1:-}" = --find ] || { is_complete && [ -z "$lighter" ]; } || install_what_is_missing
if ! is_complete; then
    say_what_is_missing
    exit 1
fi
echo "$chromium"
