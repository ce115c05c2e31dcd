from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime


class LoginSession(Base):
    """One sign-in of one user. Signing out deletes the row, which ends the session on the server."""

    __tablename__ = "login_session"
    __table_args__ = (CheckConstraint("(portal_id IS NULL) = (shell_account_id IS NULL)", name="handed_over"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the token in the cookie, so nobody can sign in with a copy of the database."""
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    portal_id: Mapped[str | None] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"))
    """Set if a host shell handed the person over: the only portal that the session is valid for."""
    shell_account_id: Mapped[int | None] = mapped_column(ForeignKey("shell_account.id", ondelete="CASCADE"), index=True)
    """Set together with `portal_id`: the person's account in the shell."""
    network: Mapped[str | None] = mapped_column(String(43))
    """Where it was begun, as an IPv4 /24 or an IPv6 /48."""
    browser: Mapped[str | None] = mapped_column(String(32))
    """What the browser called itself when it was begun: one of the names in `app.core.user_agents`."""
    system: Mapped[str | None] = mapped_column(String(32))
    """The browser's operating system, in the same way."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When a page was last shown in it, to within ten minutes. See `app.accounts.last_seen`."""
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When its person last showed a second factor in it. None if they have not."""
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
