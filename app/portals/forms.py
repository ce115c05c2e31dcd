from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from email.utils import formataddr, parseaddr
from typing import Any

from flask_babel import gettext as _
from wtforms import BooleanField, EmailField, Field, IntegerField, PasswordField, RadioField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import ValidationError

from app.accounts.security.guards import StepUpInForm
from app.core.forms import TextForm
from app.core.i18n import lazy
from app.core.text import clean_company_name, clean_email
from app.core.text_errors import TextError
from app.models import TEAM_ROLES, JoinNotice, Portal, PortalMailServer, Role, TlsMode
from app.net.dialer import AddressRule, is_permitted
from app.outbox.server_settings import OwnServer

_SELECTOR = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_SELECTOR_LENGTH = 63
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")


class MailServerForm(StepUpInForm):
    """A portal's mail settings. The fields of an own server are validated only if "own" is chosen."""

    server = RadioField(
        lazy("Send this portal's email through"),
        choices=[
            SelectChoice("deployment", lazy("This service's mail server")),
            SelectChoice("own", lazy("Our own mail server")),
        ],
    )
    host = StringField(lazy("Server"))
    port = IntegerField(lazy("Port"))
    tls = SelectField(
        lazy("Encryption"),
        choices=[
            SelectChoice(TlsMode.STARTTLS.value, lazy("STARTTLS (usually port 587)")),
            SelectChoice(TlsMode.SSL.value, lazy("TLS from the first byte (usually port 465)")),
            SelectChoice(TlsMode.NONE.value, lazy("None (a server without sign-in only)")),
        ],
    )
    username = StringField(lazy("User name"))
    password = PasswordField(lazy("Password"))
    sender_name = StringField(lazy("Sender's name"))
    sender_address = EmailField(lazy("Sender's address"))
    reply_to = EmailField(lazy("Replies go to"))
    per_second = IntegerField(lazy("Emails per second, at most"))
    dkim_selector = StringField(lazy("DKIM selector"))
    uses_bounce_address = BooleanField(lazy("Use this service's bounce address"))

    def __init__(self, portal: Portal, present: PortalMailServer | None, permits: AddressRule) -> None:
        """`present`: the portal's own server, if any. `permits` decides which addresses a server may have."""
        name, address = parseaddr(present.sender) if present else (portal.name, "")
        super().__init__(
            data={
                "server": "own" if present else "deployment",
                "host": present.host if present else "",
                "port": present.port if present else 587,
                "tls": present.tls.value if present else TlsMode.STARTTLS.value,
                "username": present.username if present else "",
                "sender_name": name,
                "sender_address": address,
                "reply_to": portal.reply_to or "",
                "per_second": present.per_second if present else None,
                "dkim_selector": present.dkim_selector if present else "",
                "uses_bounce_address": present is not None and present.uses_bounce_address,
            }
        )
        self._permits = permits

    @property
    def is_own(self) -> bool:
        return bool(self.server.data == "own")

    def validate(self, extra_validators: Mapping[str, Sequence[Any]] | None = None) -> bool:
        if not self.is_own:
            valid = [self.server.validate(self), self.reply_to.validate(self, [type(self).validate_reply_to])]
            return all(valid)
        _check_number(self.port, 1, 65535, is_needed=True)
        _check_number(self.per_second, 1, 100_000)
        return bool(super().validate(extra_validators))

    def validate_host(self, field: Field) -> None:
        field.data = (field.data or "").strip().lower()
        if not _HOST.fullmatch(field.data):
            raise ValidationError(_("Enter the server's name, such as smtp.example.com, without anything around it."))
        # The same sentence for every fault, so that the answer reveals nothing about our own network.
        if not is_permitted(field.data, self._permits):
            raise ValidationError(
                _(
                    "This server wasn't found, or its address isn't allowed here. Check its name, or ask whoever runs"
                    " this service to allow its network."
                )
            )

    def validate_username(self, field: Field) -> None:
        field.data = (field.data or "").strip()
        if len(field.data) > 254 or not field.data.isprintable():
            raise ValidationError(_("A user name can have at most 254 characters, all of them printable."))
        if field.data and self.tls.data == TlsMode.NONE:
            raise ValidationError(_("A user name and password are sent only over an encrypted connection. Choose one."))

    def validate_password(self, field: Field) -> None:
        if len(field.data or "") > 500:
            raise ValidationError(_("A password can have at most 500 characters."))

    def validate_sender_name(self, field: Field) -> None:
        if not (field.data or "").strip():
            field.data = ""
            return
        try:
            field.data = clean_company_name(field.data)
        except TextError as error:
            raise ValidationError(_(error.message)) from error

    def validate_sender_address(self, field: Field) -> None:
        field.data = _address(field.data)

    def validate_reply_to(self, field: Field) -> None:
        field.data = _address(field.data) if (field.data or "").strip() else ""

    def validate_dkim_selector(self, field: Field) -> None:
        field.data = (field.data or "").strip().lower()
        if field.data and (len(field.data) > _SELECTOR_LENGTH or not _SELECTOR.fullmatch(field.data)):
            raise ValidationError(
                _("A DKIM selector is a short name such as s1: letters, digits, dots, hyphens, at most 63 characters.")
            )

    def own_server(self) -> OwnServer | None:
        """The typed values, after validation. None for the deployment's server."""
        if not self.is_own:
            return None
        return OwnServer(
            host=self.host.data or "",
            port=self.port.data or 0,
            tls=TlsMode(self.tls.data),
            sender=formataddr((self.sender_name.data or "", self.sender_address.data or "")),
            username=self.username.data or None,
            password=self.password.data or None,
            per_second=self.per_second.data,
            dkim_selector=self.dkim_selector.data or None,
            uses_bounce_address=bool(self.uses_bounce_address.data),
        )


class InvitationSettingsForm(TextForm):
    """The invitation settings of a portal, and the signed-in admin's own choice of notice."""

    _OF_THE_PORTAL = ("sends_reminders", "gives_fresh_links", "preview_above")
    """The fields that are columns of `Portal` with the same name."""

    sends_reminders = BooleanField(lazy("Send a reminder before the link expires"))
    gives_fresh_links = BooleanField(lazy("Let recipients request a new link"))
    preview_above = IntegerField(lazy("Show a preview before an import of more than this many rows is sent"))
    join_notice = RadioField(
        lazy("Tell me when clients join"),
        choices=[
            SelectChoice("off", lazy("Never")),
            SelectChoice(JoinNotice.AT_ONCE.value, lazy("Immediately, one email per client")),
            SelectChoice(JoinNotice.DAILY.value, lazy("Daily summary of who joined and whose link expired")),
        ],
    )

    def __init__(self, portal: Portal, join_notice: JoinNotice | None) -> None:
        settings = {name: getattr(portal, name) for name in self._OF_THE_PORTAL}
        super().__init__(data={**settings, "join_notice": join_notice.value if join_notice else "off"})

    def validate(self, extra_validators: Mapping[str, Sequence[Any]] | None = None) -> bool:
        _check_number(self.preview_above, 0, 1000)
        return bool(super().validate(extra_validators))

    def portal_settings(self) -> dict[str, object]:
        """The values for the portal, by column name, after validation."""
        return {name: self[name].data for name in self._OF_THE_PORTAL}

    def notice(self) -> JoinNotice | None:
        """The admin's chosen notice, after validation; None for no notice."""
        return None if self.join_notice.data == "off" else JoinNotice(self.join_notice.data)


class ColleagueForm(TextForm):
    """Whom to invite to the team, and as what."""

    email = StringField(lazy("Email"))
    role = RadioField(
        lazy("Role"),
        choices=[
            SelectChoice(Role.STAFF.value, lazy("Staff: sees the clients, changes nothing")),
            SelectChoice(Role.CLIENT_ADMIN.value, lazy("Client admin: invites clients, changes the settings")),
        ],
        default=Role.STAFF.value,
        validate_choice=False,
    )

    def validate_email(self, field: Field) -> None:
        field.data = _address(field.data)

    def validate_role(self, field: Field) -> None:
        if field.data not in TEAM_ROLES:
            raise ValidationError(_("Choose a role: client admin or staff."))


class RequiredFactorForm(TextForm):
    """Whether a portal requires a second factor of its team."""

    require_second_factor = BooleanField(lazy("Require a second factor of client admins and staff"))

    def __init__(self, portal: Portal) -> None:
        super().__init__(data={"require_second_factor": portal.second_factor_required_at is not None})


def _check_number(field: IntegerField, least: int, most: int, *, is_needed: bool = False) -> None:
    """Give a field an error that names the limits. WTForms' own does not say what to do."""
    field.process_errors = [] if field.data is None else field.process_errors
    typed = (field.raw_data or [""])[0].strip()
    if (typed or is_needed) and not (field.data is not None and least <= field.data <= most):
        field.process_errors = [_("Enter a whole number from %(least)s to %(most)s.", least=least, most=most)]


def _address(typed: str | None) -> str:
    try:
        return clean_email(typed or "")
    except TextError as error:
        raise ValidationError(_(error.message)) from error
