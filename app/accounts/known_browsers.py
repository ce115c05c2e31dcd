"""Browsers in which somebody has proved to own an account, by signing in or by following a reset mail.

A browser keeps one token for each such account, in a cookie. The token does not sign anybody in. It only exempts the
owner from the rate limits that others may have used up. The signature also covers the account's password hash, so a new
password invalidates the token: somebody who knew the old password gains nothing from the browsers they used it in.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

from flask import current_app
from itsdangerous import Signer


def known_browser(tokens: Iterable[str], user_id: int, password_hash: str) -> str | None:
    """The id of a browser that holds a genuine token of this account and password, or None."""
    for token in tokens:
        claim, _, signature = token.rpartition(".")
        subject, _, browser_id = claim.partition(".")
        if subject == str(user_id) and _signer().verify_signature(_signed(claim, password_hash), signature):
            return browser_id
    return None


def browser_token(user_id: int, password_hash: str, browser_id: str | None = None) -> str:
    """A signed token for a browser. A browser without an id gets a new one."""
    claim = f"{user_id}.{browser_id or secrets.token_urlsafe(12)}"
    return f"{claim}.{_signer().get_signature(_signed(claim, password_hash)).decode()}"


def account_of(token: str) -> str:
    """The id of the account that a token claims to belong to. The signature is not checked."""
    return token.partition(".")[0]


def _signed(claim: str, password_hash: str) -> str:
    return f"{claim} {password_hash}"


def _signer() -> Signer:
    keys = [*reversed(current_app.config["SECRET_KEY_FALLBACKS"]), current_app.config["SECRET_KEY"]]
    return Signer(keys, salt="known-browser", key_derivation="hmac", digest_method=hashlib.sha256)
