from __future__ import annotations

from datetime import datetime

from flask_login import UserMixin
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.clock import UtcDateTime, now
from app.extensions import Base


class User(UserMixin, Base):
    """A Bakuun account: one e-mail, one password, any number of portals."""

    __tablename__ = "user_account"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    """In the one form that `app.text.clean_email` gives."""
    name: Mapped[str] = mapped_column(String(100))
    name_folded: Mapped[str] = mapped_column(String(400))
    """`app.text.fold` of the name, for search and order without case."""
    password_hash: Mapped[str] = mapped_column(String(255))
    """Empty for somebody whom a host shell handed over and who has chosen none: no password opens the account."""
    email_verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    verification_generation: Mapped[int] = mapped_column(default=0)
    """Counts verification mails; only the newest one's link works."""
    verification_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set when the mail server takes the mail; until then the link is valid."""
    reset_generation: Mapped[int] = mapped_column(default=0)
    """Counts password resets, asked for or used; only the newest link works, and only once."""
    reset_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    session_token = None  # type: str | None
    """The token of the login session this user was loaded by; not a column."""
    handed_over_to = None  # type: str | None
    """The only portal that this login session is good for, if a host shell began it; not a column."""

    def get_id(self) -> str:
        """What Flask-Login keeps in the cookie: the session's token, not the user's id."""
        if self.session_token is None:
            raise RuntimeError("this user was not loaded through a login session")
        return self.session_token

    @property
    def is_verified(self) -> bool:
        return self.email_verified_at is not None

    @property
    def is_let_in(self) -> bool:
        """Whether this login session needs no verified address: in its own portal the host shell vouches for it."""
        return self.is_verified or self.handed_over_to is not None
