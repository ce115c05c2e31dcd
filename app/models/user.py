from __future__ import annotations

from datetime import datetime
from uuid import UUID

from flask_login import UserMixin
from sqlalchemy import CheckConstraint, ColumnElement, Index, String, UniqueConstraint, and_, not_, or_, text
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime

_FOUND_BY_ADDRESS = text("vouched_by IS NULL")


class User(UserMixin, Base):
    """A Bakuun account: one e-mail, one password, any number of portals."""

    __tablename__ = "user_account"
    __table_args__ = (
        Index(None, "email", unique=True, sqlite_where=_FOUND_BY_ADDRESS, postgresql_where=_FOUND_BY_ADDRESS),
        UniqueConstraint("email", "vouched_by"),
        CheckConstraint("vouched_by IS NULL OR email_verified_at IS NULL", name="vouched_by"),
        CheckConstraint("verified_for_portal_id IS NULL OR email_verified_at IS NOT NULL", name="verified_for_portal"),
        # Links and sessions name an account by its id: that of one that was deleted is never given to another.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    """In the one form that `app.core.text.clean_email` gives."""
    vouched_by: Mapped[str | None] = mapped_column(String(255))
    """The issuer whose word alone this account is made on, kept apart from what somebody else has registered with the
    same address. None for the account that an address finds."""
    name: Mapped[str] = mapped_column(String(100))
    name_folded: Mapped[str] = mapped_column(String(400))
    """`app.core.text.fold` of the name, for search and order without case."""
    password_hash: Mapped[str] = mapped_column(String(255))
    """Empty for somebody whom a host shell handed over and who has chosen none: no password opens the account."""
    email_verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    verified_for_portal_id: Mapped[str | None] = mapped_column(String(32))
    """The only portal that the address is verified for, since it was by a mail through that portal's own mail server.
    Such mails are not sent any more. No foreign key: the account is no better when the portal is gone."""
    registration_key: Mapped[UUID | None]
    """Made for one registration, and kept by the browser that registered: it verifies the address with one press."""
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

    @hybrid_property
    def is_verified(self) -> bool:
        """Whether it is proved to the whole service that the address is the account's owner's."""
        return self.email_verified_at is not None and self.verified_for_portal_id is None

    @is_verified.inplace.expression
    @classmethod
    def _is_verified(cls) -> ColumnElement[bool]:
        return and_(cls.email_verified_at.is_not(None), cls.verified_for_portal_id.is_(None))

    @hybrid_property
    def is_unproven(self) -> bool:
        """Whether somebody has registered it and not proved to the whole service that the address is theirs.

        An account that only host shells have made is not: nothing opens it, so it can be nobody else's.
        """
        is_registered = bool(self.password_hash) or self.email_verified_at is not None
        return is_registered and not self.is_verified

    @is_unproven.inplace.expression
    @classmethod
    def _is_unproven(cls) -> ColumnElement[bool]:
        return and_(or_(cls.password_hash != "", cls.email_verified_at.is_not(None)), not_(cls.is_verified))

    def is_let_into(self, portal_id: str) -> bool:
        """Whether this login session may use a portal, as far as the address goes.

        A host shell vouches for it in the one portal that the session is good for.
        """
        return self.is_verified or portal_id in (self.handed_over_to, self.verified_for_portal_id)
