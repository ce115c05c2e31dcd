"""The demo's mailbox: a folder with one .eml file for each mail."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from pathlib import Path
from typing import cast
from uuid import UUID

from app.core.ids import new_id

KEPT_MAILS = 500


@dataclass(frozen=True)
class KeptMail:
    """A mail as the catcher received it."""

    id: UUID
    source: bytes
    message: EmailMessage

    @property
    def received_at(self) -> datetime:
        """When the mail arrived. Ids begin with their creation time in milliseconds."""
        return datetime.fromtimestamp((self.id.int >> 80) / 1000, UTC)

    def header(self, name: str) -> str:
        """A decoded header, or an empty text if the mail has none of this name."""
        return str(self.message.get(name, ""))

    def part(self, subtype: str) -> str | None:
        """The text of the `plain` or `html` part, or None if there is none."""
        body = cast(EmailMessage | None, self.message.get_body((subtype,)))
        if body is None:
            return None
        content = cast(bytes, body.get_payload(decode=True))
        try:
            text = content.decode(body.get_content_charset("utf-8"), "replace")
        except LookupError:  # an unknown character set
            text = content.decode("utf-8", "replace")
        return text.replace("\r\n", "\n")

    def html_with_pictures(self) -> str:
        """The HTML part with the mail's images as data URLs, as a mail program shows it; empty if there is none."""
        html = self.part("html") or ""
        for part in self.message.walk():
            name = str(part.get("Content-ID", "")).strip("<>")
            if name and part.get_content_maintype() == "image":
                content = base64.b64encode(cast(bytes, part.get_payload(decode=True))).decode("ascii")
                html = html.replace(f"cid:{name}", f"data:{part.get_content_type()};base64,{content}")
        return html


class Mailbox:
    """The newest mails, up to `kept` of them. Older ones are deleted. The mails survive a restart."""

    def __init__(self, folder: Path, kept: int = KEPT_MAILS) -> None:
        self._folder = folder
        self._kept = kept
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, source: bytes) -> None:
        """Store a mail. When this returns, the whole mail is on the disk."""
        mail_id = new_id()
        unfinished = self._folder / f"{mail_id}.part"
        with unfinished.open("wb") as file:
            file.write(source)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._path(mail_id))
        for old in self._ids()[self._kept :]:
            self._path(old).unlink(missing_ok=True)

    def page(self, size: int, before: UUID | None = None) -> tuple[Sequence[KeptMail], bool]:
        """Up to `size` mails older than the mail `before`, newest first, and whether there are more."""
        ids = [one for one in self._ids() if before is None or one < before]
        mails = [mail for one in ids[:size] if (mail := self.get(one)) is not None]
        return mails, len(ids) > size

    def get(self, mail_id: UUID) -> KeptMail | None:
        """One mail, or None if it does not exist (any more)."""
        try:
            source = self._path(mail_id).read_bytes()
        except FileNotFoundError:
            return None
        return KeptMail(mail_id, source, message_from_bytes(source, policy=default_policy))

    def _path(self, mail_id: UUID) -> Path:
        return self._folder / f"{mail_id}.eml"

    def _ids(self) -> list[UUID]:
        """The ids, newest first. Ids are ordered by time."""
        return sorted((UUID(path.stem) for path in self._folder.glob("*.eml")), reverse=True)
