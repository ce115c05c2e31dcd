"""gunicorn reads this by itself when it is started in this folder (`gunicorn wsgi:app`); its command line wins."""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from config import ConfigError, load_settings

try:
    load_settings()
except ConfigError as error:
    # Here, before any worker is there: one that cannot start may take gunicorn down with a stack trace.
    print(f"Cannot start: {error}", file=sys.stderr)
    sys.exit(3)

# With Linux's usual C library, memory of a megabyte or more goes back to the system as soon as it is let go. Otherwise
# each thread keeps for itself what the largest logo took.
_M_MMAP_THRESHOLD = -3
with suppress(OSError, AttributeError):
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1024 * 1024)

# A socket for `gunicornc`, which nobody uses here, in a place that another gunicorn of the same user has as well.
control_socket_disable = True

# One thread reads and writes for all clients, so slow ones hold up nobody; the others work on requests that are there.
worker_class = "webserver.gunicorn_worker.Worker"
threads = 8
# Connections of each worker. One may need two descriptors, and many systems allow a process 1,024.
worker_connections = 400
# Seconds for which an idle connection is kept.
keepalive = 10


def on_starting(server):
    """The workers share a folder in which they count (prometheus_client's multiprocess mode). It begins empty."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = server.figures = mkdtemp(prefix="imported_clients_")
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink()


def on_exit(server):
    if hasattr(server, "figures"):
        rmtree(server.figures, ignore_errors=True)
