#!/bin/sh
# Tries deploy/Dockerfile, deploy/pgbouncer/Dockerfile and deploy/compose.yaml where no registry of images is reached:
# builds the images with buildah, on a Debian made here in place of the base image; starts the application's with its root
# read-only until it is healthy; then lets Docker Engine, which it installs in that Debian, run the compose file, with
# images of Debian's packages in place of those of PostgreSQL and nginx, until Ada's first invitation is out.
# Needs root, buildah, debootstrap, and 6 GB of disk. A quarter of an hour.
#
# MIRROR chooses the Debian mirror. Port 8000 has to be free.
set -eu
cd "$(dirname "$0")/.."
. scripts/minimal_debian.sh

make_minimal_debian trixie ca-certificates buildah unshare jq

build() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
# Of an image: the words of a command, a line each.
words_of() { build inspect --type image "$1" | jq -r "$2 | .[]"; }

base=$(build from scratch)
build copy --quiet "$base" "$root" / >/dev/null
build commit --quiet --rm "$base" docker.io/library/debian:trixie-slim >/dev/null

mkdir "$work/images"
while read -r file name folder; do
    echo "Building $file ..."
    build build --isolation chroot --format docker --pull-never --quiet --file "$file" --tag "$name" "$folder" \
        >"$work/log" 2>&1 </dev/null || { tail -n 20 "$work/log" >&2; fail "$file does not build."; }
    build push --quiet "localhost/$name" "docker-archive:$work/images/${name%:*}.tar:$name"
done <<'EOS'
deploy/Dockerfile imported-clients:latest .
deploy/pgbouncer/Dockerfile imported-clients-pgbouncer:latest deploy/pgbouncer
scripts/stand_ins/postgres.Dockerfile postgres:17 scripts/stand_ins
scripts/stand_ins/nginx.Dockerfile nginx:1.28 scripts/stand_ins
EOS

name=imported-clients:latest
place=$(build mount "$(build from --pull-never "$name")")
words_of "$name" .Docker.config.Cmd >"$work/start"
words_of "$name" '.Docker.config.Healthcheck.Test[1:]' >"$work/health"
words_of "$name" .Docker.config.Env >"$work/environment"
user=$(build inspect --type image "$name" | jq -r .Docker.config.User)
folder=$(build inspect --type image "$name" | jq -r .Docker.config.WorkingDir)
mkdir -p "$place/proc" "$place/dev"

cat >"$work/inside" <<'EOS'
set -eu
place=$1 work=$2 user=$3 folder=$4
mount --bind "$place" "$place"
mount -o remount,bind,ro "$place"
mount -t proc proc "$place/proc"
mount --rbind /dev "$place/dev"
mount -t tmpfs tmpfs "$place/tmp"
chmod 1777 "$place/tmp"
# Each line of a file is a word; the environment comes first.
in_image() { tr '\n' '\0' | (cat "$work/zero"; cat) | xargs -0 chroot --userspec="$user:$user" "$place" env -i -C "$folder"; }
key=$(openssl rand -hex 32)
(cat "$work/environment"; printf '%s\n' "SECRET_KEY=$key" DATABASE_URL=sqlite:////tmp/try.sqlite3) |
    tr '\n' '\0' >"$work/zero"
printf '%s\n' flask --app wsgi db upgrade | in_image
in_image <"$work/start" &
for _ in $(seq 60); do
    if in_image <"$work/health" 2>/dev/null; then
        echo "The image is healthy, as user $user and with a read-only root."
        if printf '%s\n' touch /opt/imported-clients/x | in_image 2>/dev/null; then echo "But it is not read-only." >&2; exit 1; fi
        exit 0
    fi
    sleep 1
done
echo "The image does not become healthy." >&2
exit 1
EOS
unshare --mount --pid --fork --kill-child sh "$work/inside" "$place" "$work" "$user" "$folder"

echo "Installing Docker Engine ..."
DEBIAN_FRONTEND=noninteractive chroot "$root" sh -c 'apt-get update && apt-get install --yes --no-install-recommends \
    docker.io docker-cli docker-compose iptables' >"$work/log" 2>&1 </dev/null || { tail -n 20 "$work/log" >&2; exit 1; }
mv "$work/images" "$root/root/images"
git archive HEAD deploy | tar -x -C "$root/root"
mkdir "$root/root/visit"
cp scripts/stand_ins/compose.yaml scripts/invite_first_client.py scripts/try_compose_inside.sh "$root/root/visit/"
unshare --mount --net --pid --fork --kill-child sh scripts/enter_with_docker.sh "$root" sh /root/visit/try_compose_inside.sh
