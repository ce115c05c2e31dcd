#!/bin/sh
# Tries the README where nothing is installed: makes a minimal Debian 12 in a temporary folder, clones HEAD into it, starts
# `make run` until it answers, and runs `make test`. Needs root, debootstrap, and 3 GB of disk.
#
#   scripts/try_minimal_debian.sh                                half an hour on two cores
#   scripts/try_minimal_debian.sh ARGS=tests/unit/branding/test_logo.py   what follows goes to `make test`
#
# MIRROR chooses the Debian mirror, PORT the port of `make run`.
set -eu
cd "$(dirname "$0")/.."

# What the README asks for, and the certificates that its download needs.
packages=make,python3,python3-venv,ca-certificates

. scripts/minimal_debian.sh

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

port=${PORT:-8000}
make_minimal_debian bookworm "$packages" unshare
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
