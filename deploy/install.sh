#!/bin/sh
# Sets up this checkout on a Debian machine, as root: Python packages, the system's user, its database, the settings, the
# command `imported-clients`, systemd units and nginx's site.
#
#   deploy/install.sh clients.example.com
#
# Run it again after an upgrade. It keeps the user, the database, .env and the site; it replaces everything else.
set -eu
cd "$(dirname "$0")/.."

name=imported-clients
place=/opt/$name
site=/etc/nginx/sites-enabled/$name

fail() {
    echo "$*" >&2
    exit 1
}

[ $# -eq 1 ] || fail "Usage: deploy/install.sh HOST"
host=$1
case $host in *[!A-Za-z0-9.-]* | "" | [.-]*) fail "This is no host name: $host" ;; esac
[ "$(id -u)" -eq 0 ] || fail "Run this as root."
[ "$(pwd -P)" = "$place" ] || fail "The units expect this checkout in $place, but it is in $(pwd -P)."
for tool in nginx openssl psql systemctl; do
    command -v "$tool" >/dev/null 2>&1 || fail "$tool is missing: see \"Deploy\" in README.md."
done

as_postgres() { runuser -u postgres -- "$@"; }
found_in_database() { [ "$(cd / && as_postgres psql -Atc "$1")" = 1 ]; }

scripts/ensure_venv.sh requirements.txt
# The service's user may not write here, so what can be compiled is compiled now.
.venv/bin/python -m compileall -q app migrations webserver workbook_reader ./*.py

getent passwd $name >/dev/null || useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin $name
# PostgreSQL knows the system's user by its name, without a password.
found_in_database "SELECT 1 FROM pg_roles WHERE rolname = '$name'" || as_postgres createuser $name
found_in_database "SELECT 1 FROM pg_database WHERE datname = 'imported_clients'" ||
    as_postgres createdb --owner $name --template template0 --encoding UTF8 --locale C.UTF-8 imported_clients

if [ ! -e .env ]; then
    install --mode 640 --group $name /dev/null .env
    sed "s/^SECRET_KEY=$/&$(openssl rand -hex 32)/; s/clients\.example\.com/$host/; /POSTGRES_PASSWORD/d; /compose file only/d" \
        deploy/env.example >.env
fi

install deploy/$name /usr/local/bin/
install --mode 644 deploy/systemd/*.service /etc/systemd/system/
systemctl daemon-reload

install --mode 644 deploy/nginx/http.conf /etc/nginx/conf.d/$name.conf
install --mode 644 deploy/nginx/location.conf /etc/nginx/snippets/$name.conf
[ -e $site ] || sed "s/clients\.example\.com/$host/" deploy/nginx/$name.conf >$site

echo "Set up in $place. Its settings are in $place/.env."
