from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.extensions import Base
from app.models.types import UtcDateTime, one_of, text_enum


class AuditKind(StrEnum):
    """What the audit trail of a portal tells. Some are recorded by later versions."""

    SETTINGS_CHANGED = "settings_changed"
    BRANDING_CHANGED = "branding_changed"
    BRANDING_PUBLISHED = "branding_published"
    BRANDING_DISCARDED = "branding_discarded"
    MAIL_SERVER_CHANGED = "mail_server_changed"
    MAIL_TESTED = "mail_tested"
    WEBHOOK_ADDED = "webhook_added"
    WEBHOOK_CHANGED = "webhook_changed"
    WEBHOOK_REMOVED = "webhook_removed"
    WEBHOOK_SECRET_ROTATED = "webhook_secret_rotated"
    WEBHOOK_TESTED = "webhook_tested"
    WEBHOOKS_RETRIED = "webhooks_retried"
    MAILS_RETRIED = "mails_retried"
    EMBEDDING_CHANGED = "embedding_changed"
    ROLE_GIVEN = "role_given"
    ROLE_CHANGED = "role_changed"
    ROLE_TAKEN = "role_taken"
    COLLEAGUE_INVITED = "colleague_invited"
    COLLEAGUE_RESENT = "colleague_resent"
    COLLEAGUE_WITHDRAWN = "colleague_withdrawn"
    ACCESS_ENDED = "access_ended"
    ACCESS_GIVEN_BACK = "access_given_back"
    CLIENT_ADDED = "client_added"
    CLIENT_CORRECTED = "client_corrected"
    CLIENT_RESENT = "client_resent"
    CLIENT_REMOVED = "client_removed"
    CLIENT_ERASED = "client_erased"
    CLIENTS_RESENT = "clients_resent"
    CLIENTS_REMOVED = "clients_removed"
    IMPORT_MADE = "import_made"
    IMPORT_TAKEN_BACK = "import_taken_back"
    EXPORTED = "exported"
    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGNED_OUT = "signed_out"
    SESSIONS_ENDED = "sessions_ended"
    PASSWORD_SET = "password_set"
    PASSWORD_CHANGED = "password_changed"
    EMAIL_CHANGED = "email_changed"
    NAME_CHANGED = "name_changed"
    SECOND_FACTOR_SET = "second_factor_set"
    SECOND_FACTOR_REMOVED = "second_factor_removed"
    SECOND_FACTOR_RESET = "second_factor_reset"
    SECOND_FACTOR_REQUIRED = "second_factor_required"
    RECOVERY_CODES_MADE = "recovery_codes_made"
    ACCOUNT_DELETED = "account_deleted"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    USER_ERASED = "user_erased"
    PORTAL_CREATED = "portal_created"
    PORTAL_RENAMED = "portal_renamed"
    PORTAL_DELETED = "portal_deleted"


class ActorKind(StrEnum):
    """Who acts."""

    PERSON = "person"
    """Somebody who has signed in here."""
    SHELL = "shell"
    """Somebody whom a host shell has handed over, or the shell itself."""
    COMMAND = "command"
    """An operator."""
    JOB = "job"
    NOBODY = "nobody"
    """Nobody known: somebody who has not signed in."""


class AuditIdentity(Base):
    """Who or what the lines of a portal's audit trail name: the only place where the trail holds personal data.

    A row is what somebody or something was called at some time, and is shared by the lines of that time. An erasure
    empties `name` and `email`. No foreign keys: the trail outlives what it tells of.
    """

    __tablename__ = "audit_identity"
    __table_args__ = (
        Index(None, "portal_id", "user_id"),
        Index(None, "portal_id", "client_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    portal_id: Mapped[str] = mapped_column(String(32))
    user_id: Mapped[int | None]
    """Of an account."""
    client_id: Mapped[UUID | None]
    """Of a client."""
    name: Mapped[str | None] = mapped_column(String(255))
    """Of an account, of a client's company, or of a thing, such as the host of an endpoint."""
    email: Mapped[str | None] = mapped_column(String(254))


class AuditEvent(Base):
    """One line of a portal's audit trail. It is only ever added: triggers refuse changes (`app.audit.retention`).

    It holds no personal data but the shortened network. It outlives its portal.
    """

    __tablename__ = "audit_event"
    __table_args__ = (
        one_of("kind", AuditKind),
        one_of("actor", ActorKind),
        Index(None, "portal_id", "id"),
        # For the deletion of identities.
        Index(None, "actor_id"),
        Index(None, "target_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    portal_id: Mapped[str] = mapped_column(String(32))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    kind: Mapped[AuditKind] = mapped_column(text_enum(AuditKind))
    actor: Mapped[ActorKind] = mapped_column(text_enum(ActorKind))
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("audit_identity.id"))
    target_id: Mapped[int | None] = mapped_column(ForeignKey("audit_identity.id"))
    network: Mapped[str | None] = mapped_column(String(43))
    """Where the caller was, as an IPv4 /24 or an IPv6 /48."""
    change: Mapped[dict[str, object]] = mapped_column(JSON, default=dict)
    """By the name of a field: [old, new], or one value. See `app.audit.changes`."""
