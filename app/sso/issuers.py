"""The operator's settings for issuers: which host shells may hand people over, and for which portals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask_babel import gettext as _
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.errors import Conflict, DomainError
from app.db.transactions import transaction
from app.extensions import db
from app.models import LoginSession, Portal, ShellAccount, ShellIssuer, ShellIssuerPortal
from app.net.dialer import is_permitted
from app.net.http import BadUrl, target_of
from app.sso.keys import KeySource, rule_for
from app.sso.tokens import BadKey, key_of_pem

_ISSUER = re.compile(r"https?://[!-~]{1,240}")


@dataclass(frozen=True)
class IssuerLine:
    """An issuer, as an operator sees it."""

    issuer: str
    keys: str
    """Where the keys come from: the URL of a JWK set, or the algorithm of the only key."""
    portal_ids: Sequence[str]


def add_issuer(issuer: str, *, jwks_url: str | None = None, pem: str | None = None, replace: bool = False) -> None:
    """Register an issuer with the URL of its JWK set, or with its only key in PEM.

    With `replace`, an issuer that exists gets these keys in place of its former ones, and nothing else about it
    changes. Raises `DomainError` for a wrong address, URL or key, and `Conflict` if the issuer exists and `replace` is
    not set.
    """
    if not _ISSUER.fullmatch(issuer):
        raise DomainError(
            _("An issuer is a web address such as https://shell.example.com, exactly as its tokens name it.")
        )
    if jwks_url is not None:
        _check_url(jwks_url)
    if pem is not None:
        try:
            key_of_pem(pem)
        except BadKey as error:
            raise DomainError(str(error)) from error
    with transaction() as session:
        found = session.scalar(select(ShellIssuer).where(ShellIssuer.issuer == issuer).with_for_update())
        if found is not None and not replace:
            raise Conflict(_("%(issuer)s is already registered. Add --replace to change its keys.", issuer=issuer))
        if found is None:
            session.add(ShellIssuer(issuer=issuer, jwks_url=jwks_url, public_key=pem))
            return
        keys = [found.jwks_url or found.public_key, jwks_url or pem]
        found.jwks_url, found.public_key = jwks_url, pem
        for portal_id in _portals_of(session, found):
            _record(portal_id, issuer, {"keys": keys})


def grant_portal(issuer: str, portal_id: str) -> None:
    """Let an issuer speak for a portal. Raises `DomainError` if either is unknown."""
    with transaction() as session:
        found = _known(session, issuer)
        if session.get(Portal, portal_id) is None:
            raise DomainError(_("There is no portal with the id %(id)s.", id=portal_id))
        if session.get(ShellIssuerPortal, (found.id, portal_id)) is None:
            session.add(ShellIssuerPortal(issuer_id=found.id, portal_id=portal_id))
            _record(portal_id, issuer, {"may_sign_in": [False, True]})


def revoke_portal(issuer: str, portal_id: str) -> None:
    """Stop an issuer from speaking for a portal, and end the sessions it began there.

    Raises `DomainError` if the issuer does not speak for the portal.
    """
    with transaction() as session:
        found = _known(session, issuer)
        grant = session.get(ShellIssuerPortal, (found.id, portal_id))
        if grant is None:
            raise DomainError(_("%(issuer)s does not speak for portal %(id)s.", issuer=issuer, id=portal_id))
        session.delete(grant)
        accounts = select(ShellAccount.id).where(ShellAccount.issuer_id == found.id)
        session.execute(
            delete(LoginSession).where(LoginSession.shell_account_id.in_(accounts), LoginSession.portal_id == portal_id)
        )
        _record(portal_id, issuer, {"may_sign_in": [True, False]})


def remove_issuer(issuer: str) -> None:
    """Delete an issuer and all sessions that it began.

    Accounts and roles stay. Raises `DomainError` if it is unknown.
    """
    with transaction() as session:
        found = _known(session, issuer)
        portal_ids = _portals_of(session, found)
        session.delete(found)
        for portal_id in portal_ids:
            _record(portal_id, issuer, {"may_sign_in": [True, False]})


def all_issuers() -> Sequence[IssuerLine]:
    """All issuers, ordered by address."""
    grants = db.session.scalars(select(ShellIssuerPortal).order_by(ShellIssuerPortal.portal_id)).all()
    return [
        IssuerLine(
            found.issuer,
            found.jwks_url or f"PEM, {key_of_pem(found.public_key or '').algorithm}",
            [grant.portal_id for grant in grants if grant.issuer_id == found.id],
        )
        for found in db.session.scalars(select(ShellIssuer).order_by(ShellIssuer.issuer))
    ]


def key_source(issuer: str) -> KeySource | None:
    """The place of an issuer's keys, or None if there is no such issuer. Leaves no transaction open."""
    found = db.session.scalar(select(ShellIssuer).where(ShellIssuer.issuer == issuer))
    source = KeySource(found.issuer, found.jwks_url, found.public_key) if found else None
    db.session.rollback()
    return source


def _check_url(url: str) -> None:
    try:
        target = target_of(url)
    except BadUrl as error:
        raise DomainError(error.reason) from error
    if not target.is_tls and not is_permitted(target.host, rule_for(url)):
        raise DomainError(_("Keys sent over plain http could be anyone's: use https, or a host in your own network."))


def _portals_of(session: Session, issuer: ShellIssuer) -> Sequence[str]:
    theirs = select(ShellIssuerPortal.portal_id).where(ShellIssuerPortal.issuer_id == issuer.id)
    return session.scalars(theirs.order_by(ShellIssuerPortal.portal_id)).all()


def _record(portal_id: str, issuer: str, change: Mapping[str, object]) -> None:
    audit.record(portal_id, AuditKind.EMBEDDING_CHANGED, target=audit.thing(issuer), change=change)


def _known(session: Session, issuer: str) -> ShellIssuer:
    # The lock orders us with hand-overs in progress: each of them happens entirely before or after this change.
    found = session.scalar(select(ShellIssuer).where(ShellIssuer.issuer == issuer).with_for_update())
    if found is None:
        raise DomainError(_("There is no issuer %(issuer)s.", issuer=issuer))
    return found
