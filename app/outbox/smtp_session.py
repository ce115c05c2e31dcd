"""A session with a mail server: Flask-Mail's connection, made safe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

import flask_mail

from app.core.stored_texts import stored
from app.net.dialer import tls_context
from app.outbox.errors import (
    DATA,
    MAIL,
    RCPT,
    AmbiguousOutcome,
    DeliveryError,
    PermanentFailure,
    ServerFailure,
    ServerMisconfigured,
    TransientFailure,
    words_of,
)
from app.outbox.faults import connection_lost, server_failure
from app.outbox.mime import mailbox
from app.outbox.sign_in import sign_in
from app.outbox.smtp_client import Dialing, SmtpClient, Step

_NOT_IN_THE_CLEAR = stored(
    "The user name and password were not sent, because the connection to the mail server is not encrypted. Choose"
    " STARTTLS or SSL/TLS."
)
_GO_AHEAD = 354


@dataclass(frozen=True)
class MailServer:
    """A mail server and how to connect to it. Equal values may share a connection.

    `ca_file`: the PEM file of the only authorities to trust; None for those of the system. The user name and password
    are used if both are set, and only where nobody can listen in: under TLS, or on a connection to this machine.
    """

    host: str
    port: int
    tls: Literal["none", "starttls", "ssl"]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


class SmtpSession(flask_mail.Connection):
    """Flask-Mail's connection, made safe: bounded in time, with verified TLS, never falling back to clear text.

    Its errors say at which step they happened. It sends no Flask-Mail signal, because that needs an app.
    """

    host: SmtpClient | None

    def __init__(self, server: MailServer, dialing: Dialing) -> None:
        mail = flask_mail.Mail()
        mail.state = mail.init_mail(
            {
                "MAIL_SERVER": server.host,
                "MAIL_PORT": server.port,
                "MAIL_USE_TLS": server.tls == "starttls",
                "MAIL_USE_SSL": server.tls == "ssl",
                "MAIL_USERNAME": server.username,
                "MAIL_PASSWORD": server.password,
            }
        )
        super().__init__(mail)
        self._ca_file = server.ca_file
        self._dialing = dialing
        self.mail_begun = False  # the server has accepted MAIL FROM of the latest mail
        self.last_reply = ""

    @property
    def is_open(self) -> bool:
        return self.host is not None and self.host.sock is not None

    def configure_host(self) -> SmtpClient:
        """Connect, encrypt, sign in. Raises `ServerFailure`. Flask-Mail's own method verifies no certificate."""
        try:
            tls = tls_context(self._ca_file) if self.mail.use_ssl else None
            client = SmtpClient(self.mail.server, self.mail.port, self._dialing, tls)
            try:
                self._prepare(client)
            except BaseException:
                client.close()
                raise
        except (OSError, ValueError) as error:
            raise server_failure(error) from error
        return client

    def _prepare(self, client: SmtpClient) -> None:
        if self.mail.use_tls:
            client.starttls(context=tls_context(self._ca_file))
            self._dialing.told(Step.ENCRYPT)
        client.ehlo_or_helo_if_needed()
        if self.mail.username and self.mail.password:
            if not client.is_private:
                raise ServerMisconfigured(_NOT_IN_THE_CLEAR)
            sign_in(client, self.mail.username, self.mail.password)
            self._dialing.told(Step.SIGN_IN)

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        """Offer a mail to its one recipient and store the server's answer in `last_reply`.

        Raises a `DeliveryError`. Flask-Mail's own method says neither which step failed nor whether the mail may have
        gone out.
        """
        assert self.host is not None  # noqa: S101 - SmtpConnection opens before it sends
        client = self.host
        self.mail_begun = False
        # An envelope sender of ours is a bare address already, and each mail has its own.
        sender = envelope_from if isinstance(envelope_from, str) else mailbox(envelope_from or message.sender)[1]
        (recipient,) = map(str, message.recipients)
        content = message.as_bytes()
        try:
            with _loss_means(TransientFailure, client):
                self._announce(client, sender, recipient, len(content))
                # A line that begins with a dot gets a second dot. The first line is a header, so it begins with none.
                if b"\r\n." in content:  # searching takes a sixth of the time of replacing nothing
                    content = content.replace(b"\r\n.", b"\r\n..")
                client.send(content + b".\r\n")
            with _loss_means(AmbiguousOutcome, client):
                verdict = client.verdict()
                client.expect(2, DATA, verdict)
            self.last_reply = words_of(*verdict)
        except (PermanentFailure, TransientFailure, ServerFailure):
            self._forget_mail(client)
            raise
        self.num_emails += 1

    def _announce(self, client: SmtpClient, sender: str, recipient: str, size: int) -> None:
        """Send MAIL, RCPT and DATA. If the server supports pipelining (RFC 2920), send all three at once."""
        commands = {
            MAIL: f"MAIL FROM:<{sender}>{client.size_option(size)}",
            RCPT: f"RCPT TO:<{recipient}>",
            DATA: "DATA",
        }
        is_pipelined = client.has_extn("pipelining")
        if is_pipelined:
            client.send("".join(f"{command}\r\n" for command in commands.values()))
        refused: DeliveryError | None = None
        for step, command in commands.items():
            if not is_pipelined:
                client.putcmd(command)
            code, reply = client.getreply()
            if refused is not None:
                # With pipelining, the commands after a refused one are already sent. If the server accepts DATA all the
                # same, it gets only the final dot, which is not a mail that it could take.
                if step == DATA and code == _GO_AHEAD:
                    client.putcmd(".")
                    client.getreply()
                continue
            try:
                client.expect(3 if step == DATA else 2, step, (code, reply))
            except DeliveryError as error:
                if not is_pipelined or not self.is_open:
                    raise
                refused = error
            else:
                self.mail_begun = True
        if refused is not None:
            raise refused

    def _forget_mail(self, client: SmtpClient) -> None:
        """Make the server forget a mail that it refused half-way, so that another mail can begin."""
        if not (self.mail_begun and self.is_open):
            return
        try:
            client.expect(2, "RSET", client.rset())
        except (OSError, DeliveryError):
            client.close()  # only the refusal matters here; the next mail makes a new connection

    def quit(self) -> None:
        if self.host is not None:
            with suppress(OSError):
                self.host.quit()
            self.host.close()


@contextmanager
def _loss_means(kind: type[DeliveryError], client: SmtpClient) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # errors of smtplib are OSErrors too
        client.close()
        raise kind(connection_lost(error)) from error
