"""Reads and verifies what a browser brings from an authenticator. Anybody can send anything here.

The library raises its own errors, and those of the parsers that it uses: for CBOR, JSON, base64 and keys. Whatever it
cannot read is no answer of an authenticator, so all of them mean the same.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum

from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import (
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.structs import AuthenticationCredential

from app.accounts.security.relying_party import RelyingParty
from app.models import Passkey

log = logging.getLogger(__name__)

_MOST_BYTES_OF_ID = 1023  # WebAuthn, section 4


class PasskeyFault(StrEnum):
    """Why a passkey signs nobody in."""

    UNKNOWN = "unknown"
    """No account that can be signed in to has it: it was removed, or the account is disabled."""
    LATE = "late"
    """The challenge has expired, or was used already."""
    INVALID = "invalid"
    """Not signed by this passkey, or for another site."""
    COPIED = "copied"
    """Its sign count went back."""


@dataclass(frozen=True)
class Made:
    """A passkey that an authenticator has made."""

    challenge: bytes
    credential_id: bytes
    public_key: bytes
    sign_count: int


@dataclass(frozen=True)
class Assertion:
    """An authenticator's signature, not verified yet."""

    credential: AuthenticationCredential
    challenge: bytes

    @property
    def credential_id(self) -> bytes:
        return self.credential.raw_id


@dataclass(frozen=True)
class Signed:
    """An assertion whose signature is right."""

    sign_count: int


def read_made(text: str, site: RelyingParty) -> Made | None:
    """What a browser says of a new passkey, verified for this site; None if anything is wrong with it.

    The caller has yet to look whether the challenge is one of ours.
    """
    try:
        credential = parse_registration_credential_json(text)
        challenge = parse_client_data_json(credential.response.client_data_json).challenge
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except Exception as error:
        _log_unreadable("registration", error)
        return None
    if not 0 < len(verified.credential_id) <= _MOST_BYTES_OF_ID:
        return None
    return Made(challenge, verified.credential_id, verified.credential_public_key, verified.sign_count)


def read_assertion(text: str) -> Assertion | None:
    """What a browser says a passkey has signed, or None if it is nothing of the kind."""
    try:
        credential = parse_authentication_credential_json(text)
        challenge = parse_client_data_json(credential.response.client_data_json).challenge
    except Exception as error:
        _log_unreadable("assertion", error)
        return None
    return Assertion(credential, challenge)


def verify(assertion: Assertion, passkey: Passkey, site: RelyingParty) -> Signed | None:
    """What a passkey has signed for this site; None if it has not.

    The caller has yet to look whether the challenge is one of ours, and whether the sign count has gone on.
    """
    try:
        verified = verify_authentication_response(
            credential=assertion.credential,
            expected_challenge=assertion.challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except Exception as error:
        _log_unreadable("assertion", error)
        return None
    return Signed(verified.new_sign_count)


def _log_unreadable(what: str, error: Exception) -> None:
    # Without the error's words, which quote what was sent.
    log.info("passkey refused", extra={"answer": what, "error": type(error).__name__})
