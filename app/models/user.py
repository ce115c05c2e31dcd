from __future__ import annotations

from datetime import datetime
from uuid import UUID

from flask_login import UserMixin
from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    and_,
    not_,
    or_,
    text,
)
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
        # Links and sessions name an account by its id, so the id of a deleted account is never given to another one.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    """In the canonical form of `app.core.text.clean_email`."""
    vouched_by: Mapped[str | None] = mapped_column(String(255))
    """The only issuer that vouches for this account. The account is kept apart from one that somebody else registered
    with the same address. None for the account that is found by its address."""
    name: Mapped[str] = mapped_column(String(100))
    name_folded: Mapped[str] = mapped_column(String(400))
    """`app.core.text.fold` of the name, for search and order regardless of case."""
    password_hash: Mapped[str] = mapped_column(String(255))
    """Empty if a host shell handed the person over and they have chosen none. Then no password opens the account."""
    email_verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    verified_for_portal_id: Mapped[str | None] = mapped_column(String(32))
    """The only portal that the address is verified for, because the verification mail went through that portal's own
    mail server. Such mails are not sent any more. No foreign key: the address is not verified any better if the portal
    is gone."""
    registration_key: Mapped[UUID | None]
    """Made for one registration and kept by the browser that registered, which verifies the address with one click."""
    verification_generation: Mapped[int] = mapped_column(default=0)
    """Counts verification mails. Only the newest mail's link works."""
    verification_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set when the mail server takes the mail. Until then the link does not expire."""
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Since when nobody can sign in to the account, in any way. See `app.accounts.disabling`."""
    reset_generation: Mapped[int] = mapped_column(default=0)
    """Counts password resets, both requested and used. Only the newest link works, and only once."""
    reset_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    first_signed_in_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When its owner signed in first. Later sign-ins in a new browser are told by mail."""
    passkey_handle: Mapped[bytes | None] = mapped_column(LargeBinary)
    """What passkeys call the account: random, so that it tells nothing about the person. Made with the first one."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    session_token = None  # type: str | None
    """The token of the login session that loaded this user. Not a column."""
    handed_over_to = None  # type: str | None
    """The only portal that this login session is valid for, if a host shell began it. Not a column."""
    session_seen_at = None  # type: datetime | None
    """What this login session's row says of when it was last seen. Not a column."""

    def get_id(self) -> str:
        """The value that Flask-Login keeps in the cookie: the session's token, not the user's id."""
        if self.session_token is None:
            raise RuntimeError("this user was not loaded through a login session")
        return self.session_token

    @hybrid_property
    def is_verified(self) -> bool:
        """Whether it is proved to the whole service that the address belongs to the account's owner."""
        return self.email_verified_at is not None and self.verified_for_portal_id is None

    @is_verified.inplace.expression
    @classmethod
    def _is_verified(cls) -> ColumnElement[bool]:
        return and_(cls.email_verified_at.is_not(None), cls.verified_for_portal_id.is_(None))

    @hybrid_property
    def is_unproven(self) -> bool:
        """Whether somebody registered the account but has not proved to the whole service that the address is theirs.

        False for an account that only host shells have made: no password opens it, so it cannot belong to anyone else.
        """
        is_registered = bool(self.password_hash) or self.email_verified_at is not None
        return is_registered and not self.is_verified

    @is_unproven.inplace.expression
    @classmethod
    def _is_unproven(cls) -> ColumnElement[bool]:
        return and_(or_(cls.password_hash != "", cls.email_verified_at.is_not(None)), not_(cls.is_verified))

    def is_let_into(self, portal_id: str) -> bool:
        """Whether this login session may use a portal, as far as the address is concerned.

        If a host shell began the session, the shell vouches for the address in the one portal that the session is valid
        for.
        """
        return self.is_verified or portal_id in (self.handed_over_to, self.verified_for_portal_id)
