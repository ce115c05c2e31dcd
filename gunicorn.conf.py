"""gunicorn reads this by itself when it is started in this folder (`gunicorn wsgi:app`); its command line wins."""

import sys

from config import ConfigError, load_settings

try:
    load_settings()
except ConfigError as error:
    # Here, before any worker is there: one that cannot start may take gunicorn down with a stack trace.
    print(f"Cannot start: {error}", file=sys.stderr)
    sys.exit(3)

# A socket for `gunicornc`, which nobody uses here, in a place that another gunicorn of the same user has as well.
control_socket_disable = True

# Threads, so that a slow upload holds up nobody else.
worker_class = "gthread"
threads = 4
