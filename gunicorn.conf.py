"""gunicorn reads this file when it is started in this folder (`gunicorn wsgi:app`). Its command line overrides it."""

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
    # Checked here, before there are workers: a worker that cannot start may end gunicorn with a stack trace.
    print(f"Cannot start: {error}", file=sys.stderr)
    sys.exit(3)

# With glibc, this returns blocks of a megabyte or more to the system as soon as they are freed. Otherwise each thread
# would keep as much memory as the largest logo took.
_M_MMAP_THRESHOLD = -3
with suppress(OSError, AttributeError):
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1024 * 1024)

# The socket of `gunicornc`. Nobody uses it here, and all gunicorns of one user would share its path.
control_socket_disable = True

# One thread reads and writes for all clients, so slow clients block nobody. These threads handle complete requests.
worker_class = "webserver.gunicorn_worker.Worker"
threads = 8
# The most connections of each worker. A connection may need two file descriptors, and many systems allow a process
# 1,024.
worker_connections = 400
# How many seconds an idle connection is kept open.
keepalive = 10


def on_starting(server):
    """Give the workers an empty folder for their metrics (prometheus_client's multiprocess mode)."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = server.figures = mkdtemp(prefix="imported_clients_")
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink()


def on_exit(server):
    if hasattr(server, "figures"):
        rmtree(server.figures, ignore_errors=True)
