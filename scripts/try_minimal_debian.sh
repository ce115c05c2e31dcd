#!/bin/sh
# Tries the README where nothing is installed: makes a minimal Debian 12 in a temporary folder, clones HEAD into it, starts
# `make run` until it answers, and runs `make test`. Needs root, debootstrap, and 3 GB of disk.
#
#   scripts/try_minimal_debian.sh                                half an hour on two cores
#   scripts/try_minimal_debian.sh ARGS=tests/unit/branding/test_logo.py   what follows goes to `make test`
#
# MIRROR chooses the Debian mirror (else this machine's own, else debootstrap's), PORT the port of `make run`. The network
# is reached as this machine reaches it: proxies, certificates, and settings of apt and pip are taken over.
set -eu
cd "$(dirname "$0")/.."

# What the README asks for, and the certificates that its download needs.
packages=make,python3,python3-venv,ca-certificates

fail() {
    echo "$*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "Only root can make a Debian to change into: sudo $0"
for tool in debootstrap git unshare; do
    command -v "$tool" >/dev/null 2>&1 || fail "$tool is needed (Debian, Ubuntu: apt-get install debootstrap git util-linux)."
done

# Nothing where this machine is no Debian: debootstrap then takes its own default.
mirror_of_this_machine() {
    apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' 'Component: main' 2>/dev/null |
        head -n 1
}

# Copies paths of this machine to the same places in there, those that exist.
take_over() {
    for path in "$@"; do
        [ -e "$path" ] || continue
        mkdir -p "$root$(dirname "$path")"
        cp -RL "$path" "$root$(dirname "$path")"
    done
}

network_variables() { env | grep -iE '^(pip_[a-z_]+|(https?|all|no)_proxy|ssl_cert_file|requests_ca_bundle)='; }

take_over_the_network() {
    take_over /etc/hosts /etc/resolv.conf /etc/pip.conf /etc/xdg/pip /root/.config/pip /usr/local/share/ca-certificates
    chroot "$root" update-ca-certificates >/dev/null 2>&1
    network_variables >"$work/variables" || true
    # A certificate may be a file that only a variable names.
    cut -d = -f 2- "$work/variables" | while read -r value; do
        case $value in /*) [ ! -f "$value" ] || take_over "$value" ;; esac
    done
    apt-config dump 2>/dev/null | grep -E '^Acquire::(https?::|Check-)' >"$root/etc/apt/apt.conf.d/90network" || true
}

# Runs a program in there. Its mounts and whatever it leaves running are gone when it ends.
run_in_root() {
    set -- PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PORT="$port" "$@"
    while read -r variable; do
        set -- "$variable" "$@"
    done <"$work/variables"
    unshare --mount --pid --fork --kill-child sh -ec '
        mount -t proc proc "$0/proc"
        mount --rbind /dev "$0/dev"
        mount -t tmpfs tmpfs "$0/dev/shm"
        exec chroot "$0" env -i "$@"
    ' "$root" "$@"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/minimal_debian.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
root=$work/root
port=${PORT:-8000}

echo "Making a minimal Debian 12 in $root ..."
if ! debootstrap --variant=minbase --include="$packages" bookworm "$root" ${MIRROR:-$(mirror_of_this_machine)} \
    >"$work/log" 2>&1; then
    tail -n 15 "$work/log" >&2
    fail "debootstrap failed (its own words are above)."
fi
take_over_the_network
git clone --quiet --depth 1 "file://$PWD" "$root/root/imported-clients"

run_in_root sh -s "$@" <<'EOS'
set -eu
cd /root/imported-clients

seconds() { cut -d . -f 1 /proc/uptime; }

# Another server may have this port, so what answers is ours only once it says so.
answers() {
    grep -q "is running" /tmp/run.log &&
        python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' \
            "http://localhost:$PORT/readyz" 2>/dev/null
}

echo "make run"
begun=$(seconds)
make run >/tmp/run.log 2>&1 &
run=$!
until answers; do
    if ! kill -0 "$run" 2>/dev/null || [ $(($(seconds) - begun)) -gt 600 ]; then
        cat /tmp/run.log
        echo "make run does not answer." >&2
        exit 1
    fi
    sleep 1
done
cat /tmp/run.log
echo "make run answers after $(($(seconds) - begun)) s."
kill "$run"
wait "$run" 2>/dev/null || true

echo "make test $*"
make test "$@" </dev/null
EOS
