#!/bin/sh
# Writes the list of users, which PgBouncer wants as a file, and becomes PgBouncer.
set -eu
umask 077
printf '"imported_clients" "%s"\n' "$POSTGRES_PASSWORD" >/tmp/userlist.txt
exec pgbouncer /etc/pgbouncer/pgbouncer.ini
