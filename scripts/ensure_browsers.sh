#!/bin/sh
# Makes sure that the other browsers start, which `make test-browsers` runs: Firefox ESR, and WebKitGTK with its WebDriver
# and a display that nobody sees. Prints their paths, one a line: Firefox, then WebKitGTK's MiniBrowser.
#
#   scripts/ensure_browsers.sh           looks, and installs what is missing where that needs no question (Debian, Ubuntu)
#   scripts/ensure_browsers.sh --find    only looks
#
# Exit 1: something is still missing, and one line says what. FIREFOX_PATH and MINIBROWSER_PATH name browsers of your own.
set -eu

find_firefox() {
    for path in "${FIREFOX_PATH:-}" "$(command -v firefox-esr 2>/dev/null)" "$(command -v firefox 2>/dev/null)"; do
        [ -n "$path" ] && "$path" --version >/dev/null 2>&1 </dev/null && echo "$path" && return
    done
    return 1
}

find_minibrowser() {
    command -v WebKitWebDriver >/dev/null 2>&1 && command -v Xvfb >/dev/null 2>&1 || return 1
    # The newest of the interfaces that are there.
    found=
    for path in /usr/lib/*/webkit2gtk-4.*/MiniBrowser /usr/lib*/webkit2gtk-4.*/MiniBrowser "${MINIBROWSER_PATH:-}"; do
        [ ! -x "$path" ] || found=$path
    done
    [ -n "$found" ] && echo "$found"
}

look() {
    firefox=$(find_firefox) || firefox=
    minibrowser=$(find_minibrowser) || minibrowser=
    packages=
    [ -n "$firefox" ] || packages=firefox-esr
    [ -n "$minibrowser" ] || packages="${packages:+$packages }webkit2gtk-driver xvfb"
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 || return 0
    if [ "$(id -u)" -eq 0 ]; then
        as_root="env"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
        as_root="sudo -n env"
    else
        return 0
    fi
    echo "Installing $* with apt-get (for make test-browsers) ..." >&2
    log=$(mktemp "${TMPDIR:-/tmp}/ensure_browsers.XXXXXX")
    trap 'rm -f "$log"' EXIT
    for step in "update -q" "install -q -y --no-install-recommends $*"; do
        if ! $as_root DEBIAN_FRONTEND=noninteractive apt-get $step >"$log" 2>&1 </dev/null; then
            echo "\"apt-get $step\" failed:" >&2
            tail -n 15 "$log" >&2
            return 0
        fi
    done
}

look
if [ -n "$packages" ] && [ "${1:-}" != --find ]; then
    install_packages $packages
    look
fi
if [ -n "$packages" ]; then
    echo "make test-browsers needs Firefox, and WebKitGTK with its WebDriver; as root: apt-get install $packages" >&2
    exit 1
fi
echo "$firefox"
echo "$minibrowser"
