"""Imported Clients: client admins invite their clients into a B-Portal portal. This module only wires the parts."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from urllib.parse import quote

from argon2 import PasswordHasher
from flask import Flask, request
from flask_babel import get_locale
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix

from app import cli, models
from app.accounts.account_routes import bp as account_bp
from app.accounts.deleted_notice import AccountDeletedRules
from app.accounts.email_change_mails import EmailChangedRules, NewAddressRules, PresentAddressRules
from app.accounts.lockout_notice import LockNoticeRules
from app.accounts.new_device import NewDeviceRules
from app.accounts.password_change import PasswordChangedRules
from app.accounts.routes import bp as identity_bp
from app.accounts.security.factor_routes import bp as own_factors_bp
from app.accounts.security.notices import CodesLockedRules, FactorChangedRules
from app.accounts.security.passkey_routes import bp as passkeys_bp
from app.accounts.security.passkey_sign_in_routes import bp as passkey_sign_in_bp
from app.accounts.security.routes import bp as second_factor_bp
from app.audit.routes import bp as audit_bp
from app.branding.brand_routes import bp as brand_bp
from app.branding.routes import bp as branding_bp
from app.clients.account_deletion_routes import bp as account_deletion_bp
from app.clients.bulk_routes import bp as bulk_bp
from app.clients.notices import JoinDigestRules, JoinNoticeRules
from app.clients.routes import bp as clients_bp
from app.clients.times import ago, exact
from app.core.i18n import day, day_of_year, isolated, moment, number
from app.core.ids import short_id
from app.core.stored_texts import retold
from app.core.text import shown_address
from app.db.engine import engine_options, prepare_engine
from app.embed.origin_routes import bp as shell_origins_bp
from app.embed.routes import bp as embed_bp
from app.extensions import babel, compress, csrf, db, login, migrate
from app.imports.list_routes import bp as imports_bp
from app.imports.routes import bp as importing_bp
from app.invitations.emails import InvitationRules
from app.invitations.reminders import ReminderRules
from app.models import Language, MailKind
from app.observability import logs, request_log
from app.observability.routes import bp as metrics_bp
from app.outbox import kinds
from app.outbox.to_admins import ServerNoticeRules
from app.portals.access_routes import bp as access_bp
from app.portals.colleague_mail import ColleagueInvitationRules
from app.portals.email_routes import bp as email_bp
from app.portals.invitation_routes import bp as invitation_settings_bp
from app.portals.required_factor import FactorRequiredRules
from app.portals.routes import accounts_bp
from app.portals.routes import bp as portals_bp
from app.portals.team_notices import RoleNoticeRules
from app.portals.team_routes import bp as team_bp
from app.registration import colleague_routes as _colleague_routes  # noqa: F401 - adds to its blueprint
from app.registration import email_change_routes as _email_change_routes  # noqa: F401 - adds to its blueprint
from app.registration import routes as _registration_routes  # noqa: F401 - adds to its blueprint
from app.registration.emails import VerificationRules
from app.registration.guards import bp as registration_bp
from app.registration.password_reset import PasswordResetRules
from app.registration.unsubscribe_routes import bp as unsubscribe_bp
from app.sso.keys import KeyRing
from app.sso.routes import bp as handover_bp
from app.web import callers, error_pages, security_headers, uploads
from app.web.cookies import ScopedSessions
from app.web.health import bp as health_bp
from app.web.locale import language_of_request
from app.web.responses import embedding
from app.webhooks.routes import bp as webhooks_bp
from config import ROOT, VERSION, Settings

__all__ = ["create_app", "models"]

_BLUEPRINTS = (
    health_bp,
    metrics_bp,
    identity_bp,
    second_factor_bp,
    passkey_sign_in_bp,
    passkeys_bp,
    own_factors_bp,
    account_bp,
    account_deletion_bp,
    handover_bp,
    portals_bp,
    access_bp,
    accounts_bp,
    team_bp,
    email_bp,
    webhooks_bp,
    invitation_settings_bp,
    branding_bp,
    brand_bp,
    clients_bp,
    bulk_bp,
    importing_bp,
    imports_bp,
    embed_bp,
    shell_origins_bp,
    audit_bp,
    registration_bp,
    unsubscribe_bp,
)


def create_app(settings: Settings) -> Flask:
    """Make the application for these settings. It starts no jobs: `app.jobs` has the scheduler."""
    app = Flask(__name__)
    app.config.from_mapping(_flask_config(settings))
    app.session_interface = ScopedSessions()
    logs.configure(settings.log_format)
    request_log.init_app(app)
    callers.init_app(app)
    if settings.trusted_proxies:
        n = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=n, x_proto=n, x_host=n, x_prefix=n)  # type: ignore[method-assign]
    _init_templates(app)
    _init_extensions(app, settings)
    _register_mail_kinds()
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    cli.init_app(app)
    error_pages.init_app(app)
    security_headers.init_app(app)
    return app


def _flask_config(settings: Settings) -> dict[str, object]:
    return {
        "SETTINGS": settings,
        "SECRET_KEY": settings.secret_key,
        "SECRET_KEY_FALLBACKS": list(settings.secret_key_fallbacks),
        "PUBLIC_BASE_URL": settings.public_base_url,
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": engine_options(settings.database_url),
        "SESSION_COOKIE_SECURE": settings.is_https,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        # A page may stay open overnight, so the token lives as long as its session.
        "WTF_CSRF_TIME_LIMIT": None,
        # With https, Flask-WTF would also compare the Referer with the Host, which a proxy need not pass on.
        "WTF_CSRF_SSL_STRICT": False,
        # The library's parameters are RFC 9106's second recommendation: 64 MiB, three passes. Tests have a cheaper one.
        "PASSWORD_HASHER": PasswordHasher(),
        "MAX_CONTENT_LENGTH": 256 * 1024,
        "SEND_FILE_MAX_AGE_DEFAULT": 365 * 24 * 60 * 60,
        "COMPRESS_MIMETYPES": ["text/html", "text/css", "text/javascript", "image/svg+xml"],
        # A tenth smaller than with the library's 3, in the same millisecond.
        "COMPRESS_ZSTD_LEVEL": 9,
        # For files the library leaves gzip out by default, but some clients and proxies know only gzip.
        "COMPRESS_ALGORITHM_STREAMING": ["zstd", "br", "gzip"],
    }


def _init_templates(app: Flask) -> None:
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        static_url=_static_url,
        padding=security_headers.padding,
        ago=ago,
        exact=exact,
        embedding=embedding,
        short_id=short_id,
        get_locale=get_locale,
        version=VERSION,
    )
    app.jinja_env.filters["isolated"] = isolated
    app.jinja_env.filters |= {"shown_address": shown_address, "number": number, "retold": retold}
    app.jinja_env.globals["languages"] = tuple(Language)
    app.jinja_env.filters |= {"moment": moment, "day": day, "day_of_year": day_of_year}


def _init_extensions(app: Flask, settings: Settings) -> None:
    db.init_app(app)
    with app.app_context():
        prepare_engine(db.engine, settings.timings.lease)
    migrate.init_app(app, db, directory=str(ROOT / "migrations"))
    uploads.init_app(app)
    csrf.init_app(app)
    login.init_app(app)
    babel.init_app(app, locale_selector=language_of_request)
    compress.init_app(app)
    app.extensions["issuer_keys"] = KeyRing()


def _register_mail_kinds() -> None:
    kinds.register(MailKind.INVITATION, InvitationRules())
    kinds.register(MailKind.VERIFICATION, VerificationRules())
    kinds.register(MailKind.PASSWORD_RESET, PasswordResetRules())
    kinds.register(MailKind.REMINDER, ReminderRules())
    kinds.register(MailKind.JOIN_NOTICE, JoinNoticeRules())
    kinds.register(MailKind.JOIN_DIGEST, JoinDigestRules())
    kinds.register(MailKind.SIGN_IN_LOCKED, LockNoticeRules())
    kinds.register(MailKind.COLLEAGUE_INVITATION, ColleagueInvitationRules())
    kinds.register(MailKind.ROLE_NOTICE, RoleNoticeRules())
    kinds.register(MailKind.SERVER_NOTICE, ServerNoticeRules())
    kinds.register(MailKind.PASSWORD_CHANGED, PasswordChangedRules())
    kinds.register(MailKind.NEW_DEVICE, NewDeviceRules())
    kinds.register(MailKind.ACCOUNT_DELETED, AccountDeletedRules())
    kinds.register(MailKind.SECOND_FACTOR_REQUIRED, FactorRequiredRules())
    kinds.register(MailKind.SECOND_FACTOR_CHANGED, FactorChangedRules())
    kinds.register(MailKind.SECOND_FACTOR_LOCKED, CodesLockedRules())
    kinds.register(MailKind.EMAIL_CHANGE, PresentAddressRules())
    kinds.register(MailKind.EMAIL_CHANGE_NEW, NewAddressRules())
    kinds.register(MailKind.EMAIL_CHANGED, EmailChangedRules())


def _static_url(filename: str) -> str:
    """The address of a static file. It changes with the file's content, so browsers may cache it for a year."""
    return f"{request.script_root}{_static_path(filename)}"


@cache
def _static_path(filename: str) -> str:
    """Cached, because a table shows a hundred icons."""
    content = (Path(__file__).parent / "static" / filename).read_bytes()
    return f"/static/{quote(filename)}?v={hashlib.sha256(content).hexdigest()[:12]}"
