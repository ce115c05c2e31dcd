"""A real Postfix (Debian's package) on loopback, with a configuration and a queue of its own in a temporary folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

POSTFIX = shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

WHY_NOT = (
    "there is no Postfix here: apt-get install postfix"
    if POSTFIX is None
    else "Postfix is started by root only"
    if os.geteuid() != 0
    else None
)
"""Why it cannot be started. None if it can."""

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = mx.relay.test
mydestination = {domain}
local_recipient_maps =
recipient_delimiter = +
alias_maps = texthash:{folder}/aliases
alias_database =
relayhost = [127.0.0.1]:{next_hop}
smtpd_peername_lookup = no
smtp_tls_security_level = none
minimal_backoff_time = 1s
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
"""
# In one step, so that nobody reads half a message. Postfix runs no command of an alias as root, so this one is plain.
_SPOOL = "\"|/bin/sh -c 'cat > {folder}/spool/.$$ && mv {folder}/spool/.$$ {folder}/spool/$$.eml'\""


@dataclass(frozen=True)
class Postfix:
    """It takes every mail at `port` and hands it to the next hop. What comes for the local user lands in `spool`."""

    port: int
    folder: Path

    def reports(self) -> list[bytes]:
        """Take what came for the local user."""
        found = sorted((self.folder / "spool").glob("*.eml"))
        messages = [path.read_bytes() for path in found]
        for path in found:
            path.unlink()
        return messages

    @property
    def log(self) -> str:
        log = self.folder / "maillog"
        return log.read_text() if log.exists() else ""


@contextmanager
def running(domain: str, user: str, next_hop: int) -> Iterator[Postfix]:
    """A Postfix that hands all mails to the SMTP server at this port of loopback, as a smarthost does."""
    assert POSTFIX is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with TemporaryDirectory(prefix="postfix-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("etc", "queue", "data", "spool"):
            (folder / part).mkdir()
        shutil.chown(folder / "data", "postfix")
        (folder / "spool").chmod(0o777)
        values = {"folder": folder, "domain": domain, "next_hop": next_hop, "port": port}
        (folder / "etc/main.cf").write_text(_MAIN.format(**values))
        (folder / "etc/master.cf").write_text(_MASTER.format(**values))
        (folder / "aliases").write_text(f"{user} {_SPOOL.format(**values)}\n")
        command = [POSTFIX, "-c", str(folder / "etc")]
        subprocess.run([*command, "start"], check=True, capture_output=True, timeout=60)
        try:
            yield Postfix(port, folder)
        finally:
            subprocess.run([*command, "stop"], check=False, capture_output=True, timeout=60)
