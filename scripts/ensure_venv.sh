#!/bin/sh
# Makes .venv and installs one lock file into it; does nothing, in milliseconds, when that is done.
#
#   scripts/ensure_venv.sh requirements.txt        what the application needs
#   scripts/ensure_venv.sh requirements-dev.txt    the same and what tests and checks need
#   scripts/ensure_venv.sh requirements-audit.txt .venv-audit    into another folder
#
# PYTHON=python3.12 chooses an interpreter. Plain sh, so that it runs in dash and in macOS's old bash.
set -eu
cd "$(dirname "$0")/.."

lock=$1
venv=${2:-.venv}
python=$venv/bin/python

fail() {
    echo "$*" >&2
    exit 1
}

# The stamp holds the lock file's checksum, not its date: a fresh checkout or a branch and back
# again changes dates only.
stamp_of() { echo "$venv/.installed-$1"; }
checksum_of() { cksum < "$1"; }
installed() { [ "$(cat "$(stamp_of "$1")" 2>/dev/null)" = "$(checksum_of "$1")" ]; }

# The probes run the interpreter: a name on PATH may be a version manager's empty shim, and a
# .venv may point to a Python that an upgrade has taken away.
is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_make_venvs() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Of pip's first complaint about the network, what the system said.
reason_in() {
    grep -m 1 "after connection broken by" "$1" |
        sed -e 's/.*after connection broken by .//' -e "s/'*: *\/.*//" -e 's/.*\] *//' -e "s/[()\"']*$//"
}

choose_python() {
    without_venv=
    for candidate in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
        is_new_enough "$candidate" || continue
        if can_make_venvs "$candidate"; then
            echo "$candidate"
            return
        fi
        without_venv=${without_venv:-$candidate}
    done
    if [ -n "$without_venv" ]; then
        fail "$without_venv cannot make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python3-venv)."
    fi
    fail "Python 3.11 or newer is needed and was not found${PYTHON:+ as $PYTHON}: install it (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python)."
}

if is_new_enough "$python" && installed "$lock"; then
    exit 0
fi

log=$(mktemp "${TMPDIR:-/tmp}/ensure_venv.XXXXXX")
trap 'rm -f "$log"' EXIT

if ! is_new_enough "$python" || ! "$python" -m pip --version >/dev/null 2>&1; then
    base=$(choose_python)
    if ! "$base" -m venv --clear "$venv" >"$log" 2>&1; then
        cat "$log" >&2
        fail "$base could not make $venv (its own words are above)."
    fi
fi

echo "Installing $lock into $venv ..."
if ! "$python" -m pip install --quiet --no-input --disable-pip-version-check \
    --require-hashes -r "$lock" >"$log" 2>&1 </dev/null; then
    # pip's last line would say that there is no such package.
    if grep -q "after connection broken by" "$log"; then
        fail "Installing $lock needs a network, and the package index cannot be reached from here: $(reason_in "$log")."
    fi
    cat "$log" >&2
    fail "Installing $lock failed (pip's own words are above)."
fi

checksum_of "$lock" > "$(stamp_of "$lock")"
if [ "$lock" = requirements-dev.txt ]; then
    # The development lock holds everything of the other, in the same versions.
    checksum_of requirements.txt > "$(stamp_of requirements.txt)"
fi
