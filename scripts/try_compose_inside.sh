# Runs beside Docker Engine, in the Debian of try_image.sh: README, "In containers", and the first invitation.
set -eu
cd /root/deploy

compose() { docker compose --file compose.yaml --file ../visit/compose.yaml --project-directory . "$@"; }
flask() { compose exec -T web flask --app wsgi "$@" 2>/dev/null; }
states() { compose ps --all --format 'table {{.Service}}\t{{.Status}}'; }

dockerd --log-level warn >/root/dockerd.log 2>&1 &
for _ in $(seq 60); do docker version >/dev/null 2>&1 && break || sleep 1; done
docker version --format 'Docker Engine {{.Server.Version}}' || { tail -n 20 /root/dockerd.log; exit 1; }
for image in /root/images/*.tar; do docker load --quiet --input "$image" >/dev/null; done

mkdir tls
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=clients.example.com -keyout tls/privkey.pem \
    -out tls/fullchain.pem 2>/dev/null
sed "s/^SECRET_KEY=$/&$(openssl rand -hex 32)/; s/^POSTGRES_PASSWORD=$/&$(openssl rand -hex 16)/
    s/^MAIL_SERVER=.*/MAIL_SERVER=postbox/; s/^MAIL_PORT=.*/MAIL_PORT=1025/; s/^MAIL_USE_TLS=.*/MAIL_USE_TLS=false/" \
    env.example >.env
echo "quiet boats at noon" >/root/visit/password

compose up --detach --no-build >/root/log 2>&1 || { tail -n 20 /root/log; states; compose logs --no-color | tail -n 40; exit 1; }
portal=$(flask portal create --name "Harbour Tours")
flask user create --email ada@example.com --name "Ada Berg" --password-stdin </root/visit/password >/dev/null
flask user grant --portal "$portal" --email ada@example.com --role client_admin >/dev/null
compose run --rm -T visitor 2>/root/log || { tail -n 20 /root/log; states; compose logs --no-color nginx web | tail -n 40; exit 1; }

states
echo "Errors in the logs: $(compose logs --no-color | grep -cE '"level": "error"|Traceback| ERROR ' || true)"
echo "Keys in nginx's log: $(compose logs --no-color nginx | grep -c 'invitations/[^.]' || true)"
compose down --volumes >/dev/null 2>&1
echo "The compose file works."
