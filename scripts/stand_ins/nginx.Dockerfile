# In place of the image nginx:1.28. Debian 13 has an older one, so that it comes from Debian 14. Only for try_image.sh.
FROM debian:trixie-slim
# hadolint ignore=DL3008
RUN sed 's/trixie-updates//; s/trixie/forky/g' /etc/apt/sources.list >/etc/apt/sources.list.d/forky.list \
    && printf 'Package: *\nPin: release n=forky\nPin-Priority: 100\n' >/etc/apt/preferences.d/forky \
    && apt-get update \
    && apt-get install --yes --no-install-recommends --target-release forky nginx \
    && rm -rf /var/lib/apt/lists/*
# As that image has them: its own log of requests, which would hold the keys of links, is on stdout.
RUN sed -i '/sites-enabled/d' /etc/nginx/nginx.conf \
    && ln -sf /dev/stdout /var/log/nginx/access.log \
    && ln -sf /dev/stderr /var/log/nginx/error.log \
    && rm -r /var/lib/nginx && ln -s /var/cache/nginx /var/lib/nginx
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
