"""What an admin sees before an import is sent. Nothing of it is stored: the page holds it, and posts the file again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.core.encryption import DecryptionFailed, decrypt, encrypt
from app.imports.client_list import ClientRow, Note
from app.imports.warnings import RowWarning, find_warnings
from app.models import Portal

_SHOWN_ROWS = 5
# Other texts are encrypted with the same key. None of them is a JSON list that begins with this word.
_PURPOSE = "import-preview"


@dataclass(frozen=True)
class ImportPreview:
    """An import that was not sent yet.

    `digest` says what was seen: posted as `confirmed`, it lets the import of the same file and message go ahead.
    `left_out` is the number of rows whose address is in the table.
    """

    count: int
    first_rows: Sequence[ClientRow]
    left_out: int
    warnings: Sequence[RowWarning]
    notes: Sequence[Note]
    digest: str


def is_previewed(portal: Portal, count: int, digest: str, confirmed: str | None) -> bool:
    """Whether an import of so many rows is shown before it is sent.

    `confirmed` is the digest of what somebody has seen, or None. Whoever has seen another file is shown this one too,
    however short it is.
    """
    if portal.preview_above is None or confirmed == digest:
        return False
    return count > (portal.preview_above if confirmed is None else 0)


def preview_of(rows: Sequence[ClientRow], left_out: int, notes: Sequence[Note], digest: str) -> ImportPreview:
    """The preview of an import of these rows. `notes` are those of the file."""
    warnings = find_warnings((row.company_name, row.email) for row in rows)
    return ImportPreview(len(rows), rows[:_SHOWN_ROWS], left_out, warnings, notes, digest)


def digest_of(data: bytes, message: str | None) -> str:
    """The digest of an import: SHA-256 of the file, followed by a NUL and the message if there is one.

    (No file that can be imported holds a NUL.)
    """
    content = data if message is None else data + b"\0" + message.encode()
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class FirstMail:
    """What the previewed mail needs besides the portal and the admin. It travels in the address of the mail's frame."""

    company_name: str
    email: str
    message: str | None

    def sealed(self, portal_id: str) -> str:
        """The values as text for an address. Encrypted, because addresses stand in logs."""
        values = [_PURPOSE, portal_id, self.company_name, self.email, self.message]
        return encrypt(json.dumps(values, ensure_ascii=False))

    @classmethod
    def opened(cls, sealed: str, portal_id: str) -> FirstMail | None:
        """The inverse of `sealed`; None for any other text."""
        try:
            values = json.loads(decrypt(sealed))
        except (DecryptionFailed, ValueError):
            return None
        if not isinstance(values, list) or values[:2] != [_PURPOSE, portal_id]:
            return None
        return cls(*values[2:])
