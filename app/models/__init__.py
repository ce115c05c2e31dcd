"""The tables, one per file. All are imported here, so that the metadata is complete."""

from app.models.applied_migration import AppliedMigration
from app.models.audit import ActorKind, AuditEvent, AuditIdentity, AuditKind
from app.models.bounce_mailbox import BounceMailbox
from app.models.branding import Branding, Language, Logo, Stage
from app.models.client_event import ClientEvent, EventKind
from app.models.client_import import ClientImport
from app.models.colleague_invitation import ColleagueInvitation
from app.models.ended_access import EndedAccess
from app.models.imported_client import ClientStatus, ImportedClient
from app.models.job_lease import JobLease
from app.models.login_session import LoginSession
from app.models.mail_server import MailServerState, PortalMailServer, TlsMode
from app.models.membership import TEAM_ROLES, JoinNotice, Membership, Role
from app.models.outbox_mail import PORTAL_MAILS, MailKind, MailState, OutboxMail
from app.models.passkey import ChallengePurpose, Passkey, PasskeyChallenge
from app.models.portal import Portal
from app.models.rate_limit_hit import RateLimitHit
from app.models.rejected_upload import RejectedUpload
from app.models.second_factor import PendingSignIn, RecoveryCode, TotpKey
from app.models.sending import Sending
from app.models.shell_account import ShellAccount
from app.models.shell_issuer import ShellIssuer, ShellIssuerPortal
from app.models.shell_origin import ShellOrigin
from app.models.used_token import UsedToken
from app.models.user import User
from app.models.webhook import WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookState

__all__ = [
    "PORTAL_MAILS",
    "TEAM_ROLES",
    "ActorKind",
    "AppliedMigration",
    "AuditEvent",
    "AuditIdentity",
    "AuditKind",
    "BounceMailbox",
    "Branding",
    "ChallengePurpose",
    "ClientEvent",
    "ClientImport",
    "ClientStatus",
    "ColleagueInvitation",
    "EndedAccess",
    "EventKind",
    "ImportedClient",
    "JobLease",
    "JoinNotice",
    "Language",
    "LoginSession",
    "Logo",
    "MailKind",
    "MailServerState",
    "MailState",
    "Membership",
    "OutboxMail",
    "Passkey",
    "PasskeyChallenge",
    "PendingSignIn",
    "Portal",
    "PortalMailServer",
    "RateLimitHit",
    "RecoveryCode",
    "RejectedUpload",
    "Role",
    "Sending",
    "ShellAccount",
    "ShellIssuer",
    "ShellIssuerPortal",
    "ShellOrigin",
    "Stage",
    "TlsMode",
    "TotpKey",
    "UsedToken",
    "User",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "WebhookState",
]
