# Runs in the container of try_deploy.sh: the README's commands, then the first invitation.
set -eu
export DEBIAN_FRONTEND=noninteractive REPOSITORY=file:///root/repository HOST=clients.example.com EDITOR=/root/editor

seconds() { cut -d . -f 1 /proc/uptime; }

# What a person does in the editor: names the mail server. Ours keeps what it gets in /root/mails.
cat >/root/editor <<'EOS'
#!/bin/sh
sed -i 's/^MAIL_SERVER=.*/MAIL_SERVER=127.0.0.1/; s/^MAIL_PORT=.*/MAIL_PORT=1025/; s/^MAIL_USE_TLS=.*/MAIL_USE_TLS=false/' "$1"
EOS
chmod +x /root/editor
echo "quiet boats at noon" >/root/password

begun=$(seconds)
while IFS= read -r command; do
    echo "# $command"
    started=$(seconds)
    eval "$command" </root/password || { echo "That failed."; exit 1; }
    echo "(after $(($(seconds) - started)) s)"
done </root/commands >/root/output 2>&1 || { tail -n 40 /root/output; journalctl --no-pager -n 40; exit 1; }
grep -E '^(# |\(after|[^ ]+ is |Set up)' /root/output
echo "The commands took $(($(seconds) - begun)) s."

.venv/bin/python -m aiosmtpd --nosetuid --listen 127.0.0.1:1025 --class aiosmtpd.handlers.Mailbox /root/mails &
.venv/bin/python /root/invite_first_client.py "$HOST" ada@example.com /root/password /root/mails ||
    { journalctl --no-pager -n 60; exit 1; }
echo "The first invitation is out after $(($(seconds) - begun)) s."

imported-clients check || true
for unit in imported-clients-web imported-clients-worker@1 nginx; do
    echo "$unit: $(systemctl is-active $unit), $(systemctl show --property NRestarts $unit)"
done
systemctl restart imported-clients-worker@1
systemctl reload imported-clients-web
echo "A key in nginx's logs: $(grep -c 'invitations/[^.]' /var/log/nginx/imported-clients*.log | tr '\n' ' ')"
tail -n 3 /var/log/nginx/imported-clients.log
systemd-analyze security --no-pager imported-clients-web.service imported-clients-worker@1.service | grep -i overall || true
journalctl --no-pager -u 'imported-clients-*' -o cat | tail -n 25

# What an operator has changed, and what people have.
kept() { cksum .env /etc/nginx/sites-enabled/imported-clients; imported-clients client list --portal "$ID"; }
kept >/root/before 2>/dev/null
deploy/install.sh "$HOST" >/dev/null
kept >/root/after 2>/dev/null
cmp /root/before /root/after
systemctl restart imported-clients-web imported-clients-worker@1
systemctl reload nginx
.venv/bin/python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/readyz', timeout=60)"
echo "A second time, install.sh leaves all as it is."
