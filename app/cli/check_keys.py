"""The check of `flask check` about SECRET_KEY and its fallbacks. It prints neither a key nor a part of one."""

from __future__ import annotations

from collections import Counter

from flask import current_app

from app.core.checks import CheckResult, fail, ok, warn
from app.db.encrypted_columns import count_encrypted
from config import Settings
from config_values import key_weakness


def keys() -> CheckResult:
    settings: Settings = current_app.config["SETTINGS"]
    counts = sum(count_encrypted().values(), Counter[int | None]())
    if unreadable := counts[None]:
        return fail(f"No key opens {unreadable} of the encrypted secrets. See: flask --app wsgi secrets status")
    weak = [n for n, key in enumerate(settings.secret_key_fallbacks, 1) if key_weakness(key)]
    if weak:
        which = ", ".join(map(str, weak))
        return warn(f"Key {which} of SECRET_KEY_FALLBACKS can be guessed, so links can be forged. Remove it.")
    if waiting := counts.total() - counts[0]:
        return warn(f"{waiting} of the encrypted secrets need a former key. Run: flask --app wsgi secrets reseal")
    if settings.secret_key_fallbacks:
        return warn("SECRET_KEY_FALLBACKS holds former keys. Remove them once the links they have signed have ended.")
    return ok("SECRET_KEY is strong and opens every encrypted secret.")
