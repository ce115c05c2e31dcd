"""Adding a passkey to one's own account: first the password, then what the authenticator has made."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from enum import StrEnum

from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError
from webauthn import generate_registration_options, options_to_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.accounts.attempts import attempt_of_owner
from app.accounts.own_account import SessionEnded, hold_session
from app.accounts.security.challenges import LIFETIME, new_challenge, use_challenge
from app.accounts.security.notices import FactorChange, queue_change_notice
from app.accounts.security.own_factors import first_recovery_codes
from app.accounts.security.passkeys import MOST, count_passkeys, credential_ids_of
from app.accounts.security.relying_party import RelyingParty
from app.accounts.security.webauthn_answers import read_made
from app.accounts.users import lock_account
from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.clock import now
from app.db.transactions import transaction
from app.models import ChallengePurpose, Passkey


class AddFault(StrEnum):
    """Why no passkey was added."""

    PASSWORD = "password"
    TOO_MANY = "too_many"
    EXISTS = "exists"
    LATE = "late"
    """The challenge has expired, or was used already."""
    INVALID = "invalid"


def begin_adding(
    user_id: int,
    email: str,
    session_token: str,
    password: str,
    *,
    site: RelyingParty,
    site_name: str,
    browser: str,
    remote_address: str,
    browser_tokens: Collection[str],
) -> str | AddFault:
    """What an authenticator needs to make a passkey for an account, as JSON for the browser with the token `browser`.

    The password has to be the account's, since a passkey opens the account for good. Wrong ones count as those of
    sign-in do. Raises `TooManyRequests`, and `SessionEnded`.
    """
    attempt = attempt_of_owner(user_id, email, remote_address, browser_tokens)
    attempt.judge(password)
    with transaction() as session:
        user = attempt.settle(session)
        if user is None:
            if attempt.is_right:
                raise SessionEnded  # another password was set meanwhile, which has ended it
            return AddFault.PASSWORD
        hold_session(session, user_id, session_token)
        if count_passkeys(user_id) >= MOST:
            return AddFault.TOO_MANY
        if user.passkey_handle is None:
            user.passkey_handle = secrets.token_bytes(32)
        options = generate_registration_options(
            rp_id=site.id,
            rp_name=site_name,
            user_id=user.passkey_handle,
            user_name=user.email,
            user_display_name=user.name,
            challenge=new_challenge(session, browser, ChallengePurpose.REGISTRATION, user_id),
            timeout=int(LIFETIME.total_seconds() * 1000),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in credential_ids_of(user_id)],
        )
        return options_to_json(options)


def finish_adding(
    user_id: int, session_token: str, name: str, answer: str, *, site: RelyingParty, browser: str
) -> Sequence[str] | AddFault:
    """Add the passkey that an authenticator has made after `begin_adding`, and tell the account's owner by mail.

    `name` is in its clean form, `answer` what the browser sent, which may be anything. Returns the account's new
    recovery codes, none if it has some already. Raises `SessionEnded`.
    """
    made = read_made(answer, site)
    if made is None:
        return AddFault.INVALID
    try:
        with transaction() as session:
            user = lock_account(session, user_id)
            if user is None:
                raise SessionEnded
            held = hold_session(session, user_id, session_token)
            if not use_challenge(session, made.challenge, browser, ChallengePurpose.REGISTRATION, user_id):
                return AddFault.LATE
            if session.scalar(select(exists().where(Passkey.credential_id == made.credential_id))):
                return AddFault.EXISTS
            if count_passkeys(user_id) >= MOST:
                return AddFault.TOO_MANY
            session.add(
                Passkey(
                    user_id=user_id,
                    credential_id=made.credential_id,
                    public_key=made.public_key,
                    sign_count=made.sign_count,
                    name=name,
                )
            )
            session.flush()
            held.confirmed_at = now()
            codes = first_recovery_codes(session, user_id)
            queue_change_notice(user, FactorChange.PASSKEY_ADDED)
            audit.record_of_account(user_id, AuditKind.SECOND_FACTOR_SET, by_owner=True)
            return codes
    except IntegrityError:
        # Another account was given the same one between our query and our insert.
        return AddFault.EXISTS
