#!/bin/sh
# Tries "Deploy" of the README where nothing is installed: boots a minimal Debian with systemd in a container, runs the ten
# commands there as they stand, of HEAD, and lets Ada invite her first clients, through nginx and a mail server of ours.
# Needs root, debootstrap, systemd-nspawn, and 2 GB of disk. A few minutes.
#
#   scripts/try_deploy.sh            Debian 12
#   scripts/try_deploy.sh trixie     another one
#
# MIRROR chooses the Debian mirror. The container has this machine's network, so the ports 80, 443, 5432 and 8000 have to
# be free, and 1025 for the mail server.
set -eu
cd "$(dirname "$0")/.."
. scripts/minimal_debian.sh

for port in 80 443 1025 5432 8000; do
    ! ss -Hltn "sport = :$port" | grep -q . || fail "Port $port is in use here, and the services to be tried need it."
done
# What a server has before anybody sets it up.
make_minimal_debian "${1:-bookworm}" systemd,systemd-sysv,dbus,ca-certificates systemd-nspawn ss

git clone --quiet --bare --depth 1 "file://$PWD" "$root/root/repository"
sed -n '/^## Deploy/,/^```$/ { /^```/d; p; }' README.md | sed -n '/^apt-get/,$p' >"$root/root/commands"
[ "$(wc -l <"$root/root/commands")" -eq 10 ] || fail "README, Deploy, has not ten commands."
cp scripts/try_deploy_inside.sh "$root/root/try"
cp scripts/invite_first_client.py "$root/root/"
cp "$work/variables" "$root/root/variables"
echo "127.0.0.1 clients.example.com" >>"$root/etc/hosts"
cat >"$root/etc/systemd/system/try.service" <<'EOS'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
Environment=HOME=/root LANG=C.UTF-8
EnvironmentFile=/root/variables
StandardOutput=append:/root/log
StandardError=append:/root/log
ExecStart=/bin/sh -c 'sh /root/try && touch /root/succeeded'
ExecStopPost=/bin/systemctl --no-block poweroff
EOS
chroot "$root" systemctl add-wants graphical.target try.service 2>/dev/null
touch "$root/root/log"
tail -n +1 -f "$root/root/log" &
shown=$!
systemd-nspawn --quiet --directory="$root" --register=no --keep-unit --resolv-conf=off --timezone=off --console=pipe --boot \
    >"$work/boot" 2>&1 </dev/null || true
sleep 1
kill "$shown"
[ -e "$root/root/succeeded" ] || fail "It did not get to the end (its own words are above)."
