"""A connection to a mail server that stays open from one mail to the next.

Either the server takes a mail, or a `DeliveryError` is raised. Its class says whose fault it is and whether the mail
may have gone out all the same. Neither a database nor a Flask application is used here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Self

from app.core.stored_texts import stored
from app.net.dialer import AddressRule, Watch, any_address
from app.outbox.errors import DeliveryError, TransientFailure, fit_to_tell
from app.outbox.mime import Message, RenderedMail, message_of
from app.outbox.smtp_client import Dialing, Step
from app.outbox.smtp_session import MailServer, SmtpSession

_GOODBYE_SECONDS = 2.0


def _nobody(_step: Step) -> None:
    pass


class SmtpConnection:
    """A connection to one mail server. The first mail opens it, and it stays open for the mails that follow.

    For one thread at a time. `timeout` is the longest single wait, and `deadline` the longest time for one mail,
    connecting included, both in seconds. `permits` is asked about each IP address before we connect to it, because a
    name that passed an earlier check may resolve differently now. `local_hostname` is our name in the greeting. `told`
    is called with each step that went well; steps that are not needed are left out.
    """

    def __init__(
        self,
        server: MailServer,
        *,
        timeout: float = 10.0,
        deadline: float = 30.0,
        permits: AddressRule = any_address,
        local_hostname: str = "localhost",
        told: Callable[[Step], None] = _nobody,
    ) -> None:
        self._server = server
        self._deadline = deadline
        self._watch = Watch(timeout)
        self._dialing = Dialing(self._watch, permits, local_hostname, told)
        self._session: SmtpSession | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, mail: RenderedMail, *, begin_by: float = float("inf")) -> str:
        """Deliver one mail and return the server's final reply, code and text on one line.

        Raises the DeliveryError that fits. After any of them, the next mail can be sent. Returns or raises within the
        deadline. Nothing is begun after `begin_by`, by the monotonic clock.
        """
        message = message_of(mail)
        self._watch.start(self._deadline)
        # Checked after the deadline has started: if the process is suspended after this line, the deadline will have
        # passed.
        if monotonic() > begin_by:
            raise TransientFailure(stored("The mail was not offered: its worker had come to a halt."))
        kept = self._session
        if kept is not None:
            try:
                return self._send_over(kept, message, mail.envelope_from)
            except DeliveryError:
                if kept.mail_begun or kept.is_open:
                    raise
        # Either there was no connection, or the server has closed the open one in the meantime. It may do that, and it
        # is not a failure of this mail: the mail had not begun, so it may begin anew.
        return self._send_over(self._open(), message, mail.envelope_from)

    def try_out(self) -> None:
        """Connect, encrypt and sign in, as for a mail, but send none. Raises the ServerFailure that fits."""
        self._watch.start(self._deadline)
        self._open()

    def abort(self) -> None:
        """Make the mail that is being sent fail now. Call it from another thread. Afterwards nothing can be sent."""
        self._watch.cancel()
        session = self._session
        client = session.host if session else None
        if client is not None and client.sock is not None:
            with suppress(OSError):
                client.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Say QUIT to the server, within two seconds, and close. May be called more than once."""
        session, self._session = self._session, None
        if session is not None:
            self._watch.start(_GOODBYE_SECONDS)
            session.quit()

    def _open(self) -> SmtpSession:
        session = SmtpSession(self._server, self._dialing)
        session.host = session.configure_host()
        self._session = session
        return session

    def _send_over(self, session: SmtpSession, message: Message, envelope_from: str | None) -> str:
        try:
            session.send(message, envelope_from)
        finally:
            if not session.is_open:
                self._session = None
        self._dialing.told(Step.HAND_OVER)
        return fit_to_tell(session.last_reply)
