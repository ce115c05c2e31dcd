"""Turns what people type into what we store. This is the only place that normalises input.

Pure: no Flask, no database. Every comparison of email addresses in the project compares results of `clean_email`, and
every search that ignores case compares results of `fold`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from email_validator import (
    EmailNotValidError,
    EmailSyntaxError,
    ValidatedEmail,
    validate_email,
)

from app.core.address_faults import QUOTES, address_fault, mixed_letter
from app.core.spreadsheet_errors import is_spreadsheet_error
from app.core.text_errors import TextError

NAME_MAX_LENGTH: Final = 100
MESSAGE_MAX_LENGTH: Final = 500
EMAIL_MAX_OCTETS: Final = 254  # RFC 5321 4.5.3.1.3: a path of 256 octets, less its < and >
EMAIL_LOCAL_MAX_OCTETS: Final = 64  # RFC 5321 4.5.3.1.1

# NFC makes at most one character out of four, so a text longer than four times a limit is too long after NFC as well.
# This check comes before NFC, which takes quadratic time on a long run of combining marks.
_NFC_SHRINKS_BY: Final = 4
# White space at the ends of lines is dropped besides, and browsers send two characters for a line break.
_MESSAGE_SHRINKS_BY: Final = 8

# The white space that people mean as a space: U+0020, tab and the category Zs. Line breaks are not among it.
BLANKS: Final = " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_BLANK_RUN: Final = re.compile(f"[{BLANKS}]+")
_FULL_WIDTH: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # "！" to "～" -> "!" to "~"
_LINE_BREAKS: Final = frozenset("\n\r\x0b\x0c\x85\u2028\u2029")
_BREAK_OR_BLANK: Final = re.compile(f"[{''.join(_LINE_BREAKS)}{BLANKS}]")
_MESSAGE_BREAK: Final = re.compile("\r\n|[\r\x85\u2028\u2029]")
_EMOJI_STYLE: Final = frozenset("\ufe0e\ufe0f")  # chooses between the plain and the coloured form of a character

_NAME_PUNCTUATION: Final = ".,&'’‘“”„«»-–—/()+#@!?:;\"%*_·…・$€£¥°™®©"
_FULL_WIDTH_OFFSET: Final = 0xFEE0  # from U+0021 '!' to U+FF01 '！', and so on to '~'
_NAME_EXTRAS: Final = frozenset(
    _NAME_PUNCTUATION
    + " "
    + "".join(chr(ord(mark) + _FULL_WIDTH_OFFSET) for mark in _NAME_PUNCTUATION if mark.isascii())
    + "￡￥"
)
# By category these are letters and marks, but nothing is drawn for them, so two names could differ and look the same.
# (Unicode's Default_Ignorable_Code_Point, as far as it lies in the categories L and M.)
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# An unquoted local part (RFC 5322 dot-atom). "=?" begins an encoded word, which a mail client may decode into a comma
# or a line break, so it is refused although an atom may hold it.
_LOCAL_PART: Final = re.compile(r"(?!.*=\?)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def clean_company_name(raw: str) -> str:
    """Return a company's name as we store it, from a form field or a cell of a file.

    In: any string. Out: NFC, white space trimmed and collapsed to single spaces, 1 to 100 characters (code points).
    Each is a letter, mark, number or one of the punctuation marks that company names have. The form and the CSV file
    share one rule, so that an admin has to learn it only once. The error of a spreadsheet's formula is no name. Raises
    TextError (codes `name_…`). Cleaning a clean name changes nothing.
    """
    if is_spreadsheet_error(raw):
        raise TextError("name_spreadsheet_error")
    return _clean_name(raw)


def clean_person_name(raw: str) -> str:
    """Return a person's name as we store it, from what was typed at registration.

    In, out and errors are those of `clean_company_name`, because both names end up in the same mails and tables.
    """
    return _clean_name(raw)


def clean_message(raw: str) -> str | None:
    """Return the message of an invitation as we store it, from a form field, or None if it is empty.

    In: any string. Out: NFC, 1 to 500 characters (code points), its lines separated by "\\n" and without white space at
    their ends, nothing but line breaks and what can be seen. A tab becomes a space. Refused are other control, bidi and
    invisible characters, and whatever a mail client could make a link of. Raises TextError (codes `message_…`).
    Cleaning a clean message changes nothing.
    """
    if len(raw) > MESSAGE_MAX_LENGTH * _MESSAGE_SHRINKS_BY:
        raise TextError("message_too_long", most=str(MESSAGE_MAX_LENGTH))
    text = _MESSAGE_BREAK.sub("\n", unicodedata.normalize("NFC", raw)).replace("\t", " ")
    message = "\n".join(line.rstrip(BLANKS) for line in text.split("\n")).strip("\n" + BLANKS)
    if len(message) > MESSAGE_MAX_LENGTH:
        raise TextError("message_too_long", most=str(MESSAGE_MAX_LENGTH))
    for character in message:
        if character != "\n" and character not in BLANKS and not _is_seen(character):
            raise TextError("message_invisible", character=_code_point(character))
    if holds_link(message):
        raise TextError("message_link")
    return message or None


def clean_email(raw: str) -> str:
    """Return the one canonical form of an email address, which every comparison uses.

    In: any string. Out: trimmed, NFC, plain forms in place of full-width ones (＠ ａ ．), lower-cased, at most 254
    octets with the domain in punycode. The domain is in its
    Unicode form, whichever spelling came in (punycode, full-width, mixed case). Neither the DNS nor the mailbox is
    checked. Refused are texts that could put two recipients or a line break into a header, and local parts that need
    SMTPUTF8 (RFC 6531), because too few mail servers support it. Raises TextError (codes `email_…`). Cleaning a clean
    address changes nothing.
    """
    address = _plain_address(raw)
    try:
        return _clean_address(address)
    except TextError as error:
        raise address_fault(address, error, is_email) from None


def is_email(text: str) -> bool:
    """Whether `clean_email` accepts a text."""
    try:
        _clean_address(_plain_address(text))
    except TextError:
        return False
    return True


def _plain_address(raw: str) -> str:
    address = _bounded(raw.strip(BLANKS), EMAIL_MAX_OCTETS, "email")
    return address if address.isascii() else address.translate(_FULL_WIDTH)


def _clean_address(address: str) -> str:
    _refuse_unsafe_in_header(address)
    _check_local_part(address.partition("@")[0])
    email = _canonical(address)
    # A few domains written in punycode decode to a form that is not valid itself. They would have two canonical forms,
    # so they are refused.
    if not email.isascii():
        if _canonical(email) != email:
            raise TextError("email_domain")
        mixed = mixed_letter(email)
        if mixed:
            raise mixed
    # A local part may begin, and a domain end, with some of these marks. But then the address stood in quotation marks.
    for mark in (address[0], address[-1]):
        if mark in QUOTES:
            raise TextError("email_quote_mark", mark=mark)
    return email


def smtp_address(email: str) -> str:
    """Return the ASCII form (domain in punycode) of an address, for the SMTP envelope.

    In: an address as `clean_email` returned it. Out: the same mailbox in ASCII, at most 254 characters. Raises
    TextError if a text with a non-ASCII domain is not a valid address.
    """
    if email.isascii():
        return email
    validated = _validated(email)
    return f"{validated.local_part}@{validated.ascii_domain}"


@lru_cache(maxsize=1024)
def shown_address(email: str) -> str:
    """Return an address for display. If its domain is not ASCII, the domain's punycode stands beside it.

    In: an address as `clean_email` returned it. Letters of two scripts, and some of one, can look the same; it depends
    on the font which ones do. Two domains never have the same punycode. For display only.
    """
    return email if email.isascii() else f"{email} ({smtp_address(email).partition('@')[2]})"


def path_of_url(url: str) -> str:
    """Return the path of a web address with its query, as headers hold it, or "" if the text is not an address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


_DOTTED_I: Final = re.compile("i\u0307+")


def fold(text: str) -> str:
    """Return the form in which texts are compared and searched regardless of case.

    In: any string. Bound its length first, because NFC is slow on thousands of combining marks. Out: the text
    case-folded for all of Unicode, in NFC, so that "STRASSE" and "Straße" are the same. So are all four i of Turkish
    ("İstanbul" and "istanbul", "ırmak" and "IRMAK"), whichever language the keyboard is set to. For stored folded
    columns and for the search texts that are compared with them, never for display. A change of this function needs a
    migration of those columns.
    """
    # NFD comes first: one mark folds into a letter (U+0345), and its folding may not depend on whether it came composed
    # (Unicode standard, 3.13, canonical caseless matching).
    folded = unicodedata.normalize("NFD", text).casefold()
    # "İ" folds to an i with a dot above, which no other keyboard can type.
    folded = _DOTTED_I.sub("i", folded.replace("ı", "i"))
    return unicodedata.normalize("NFC", folded)


_ZERO_WIDTH_SPACE: Final = "\u200b"
# Browsers and mail programs read each of these as the dot of a host name (UTS 46, and NFKC before it). The full stops
# also end sentences with no space after them, so they count only between Latin letters or before a short Chinese label.
_DOTS: Final = ".．․﹒"
_FULL_STOPS: Final = "。｡︒"
_LATIN: Final = "0-9A-Za-z０-９Ａ-Ｚａ-ｚ"
_LINK_JOINTS: Final = re.compile(
    rf"""
      (?<=[^\W\d_]) : (?=[^\s\u200b])          # http:  mailto:  tel:  localhost:
    | [/／] (?=[/／])                          # //host
    | ： (?=[/／])
    | (?<=[^\s\u200b]) [@＠﹫] (?=[^\s\u200b])   # name@host
    | (?<=\b[wW]{{3}}) [{_DOTS}{_FULL_STOPS}] (?=[^\s\u200b])     # www.
    # host.tld: the dot before two letters, so not "Co. KG", "S.A.", "Co.,Ltd." or "No.1"
    | (?<=[^\s\u200b{_DOTS}]) [{_DOTS}] (?=[^\W\d_][^\s\u200b{_DOTS},;:!?/()"])
    | (?<=[{_LATIN}]) [{_FULL_STOPS}] (?=[{_LATIN}]{{2}}|[\u4e00-\u9fff]{{2,3}}(?!\w))
    # What else names a host, before its port or path: four numbers, one number, or localhost
    | (?<![\w{_DOTS}]) (?:\d{{1,3}}[{_DOTS}{_FULL_STOPS}]){{3}} \d{{1,3}} [:/] (?=\w)
    | (?<![\w{_DOTS}]) (?:0[xX][0-9A-Fa-f]{{8}}|\d{{8,10}}) [:/] (?=\w)
    | (?<!\w) [lL][oO][cC][aA][lL][hH][oO][sS][tT] / (?=[^\s\u200b])
    | \[ (?=[0-9A-Fa-f:.]{{2,45}}\]) (?=[^\]]*(?:::|:[^\]]*:[^\]]*:))   # [2001:db8::1]
    """,
    re.VERBOSE,
)
_JOINT: Final = re.compile(r"[^\w\s]")


@lru_cache(maxsize=1024)
def defuse_links(text: str) -> str:
    """Return a text that looks the same, but that no mail client turns into a link by itself.

    In: a name as we store it, which may contain the characters of a URL. Out: the same name with a zero-width space on
    both sides of each `:`, `//`, `@` or dot that joins a URL, a host name or an address. Ordinary names come back
    unchanged. For what others read in mails, never for storage. Defusing twice changes nothing more.
    """
    return _LINK_JOINTS.sub(lambda found: _JOINT.sub(rf"{_ZERO_WIDTH_SPACE}\g<0>{_ZERO_WIDTH_SPACE}", found[0]), text)


def holds_link(text: str) -> bool:
    """Whether a mail client could make a link out of a part of a text. Invisible characters are ignored.

    In: any string whose length is bounded; no link goes on after a line break or white space. The rule is that of
    `defuse_links`.
    """
    seen = "".join(c for c in _BREAK_OR_BLANK.sub(" ", text) if c.isprintable() and not _UNSEEN.match(c))
    return _LINK_JOINTS.search(seen) is not None


def _clean_name(raw: str) -> str:
    name = _bounded(_BLANK_RUN.sub(" ", raw).strip(" "), NAME_MAX_LENGTH, "name")
    if len(name) > NAME_MAX_LENGTH:
        raise TextError("name_too_long")
    for character in name:
        if not _is_of_names(character):
            raise _character_error("name", character)
    return name


def _bounded(text: str, limit: int, field: str) -> str:
    """Return the text in NFC. Raises TextError if it is empty or certainly longer than the limit."""
    if not text:
        raise TextError(f"{field}_missing")
    if len(text) > limit * _NFC_SHRINKS_BY:
        raise TextError(f"{field}_too_long")
    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=1024)
def _is_of_names(character: str) -> bool:
    if character in _NAME_EXTRAS:
        return True
    return unicodedata.category(character)[0] in "LMN" and not _UNSEEN.match(character)


def _is_seen(character: str) -> bool:
    return character in _EMOJI_STYLE or (character.isprintable() and not _UNSEEN.match(character))


def _character_error(field: str, character: str) -> TextError:
    if character in _LINE_BREAKS:
        return TextError(f"{field}_line_break")
    if not character.isprintable() or _UNSEEN.match(character):
        return TextError(f"{field}_invisible", character=_code_point(character))
    return TextError(f"{field}_character", character=f"“{character}”")


def _code_point(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def _refuse_unsafe_in_header(address: str) -> None:
    """Refuse a text that would end a header, or that would turn one address into two recipients or a display name."""
    if not address.isprintable():
        for character in address:
            if character not in BLANKS and not character.isprintable():
                raise _character_error("email", character)
    if "<" in address or ">" in address:
        raise TextError("email_angle_bracket")
    if "," in address or ";" in address or address.count("@") > 1:
        raise TextError("email_several")
    if _BLANK_RUN.search(address):
        raise TextError("email_space")
    if "@" not in address:
        raise TextError("email_no_at")


def _check_local_part(local: str) -> None:
    if '"' in local:
        raise TextError("email_quoted")
    if not local.isascii():
        character = next(character for character in local if not character.isascii())
        raise TextError("email_local_not_ascii", character=f"“{character}” ({_code_point(character)})")
    if len(local) > EMAIL_LOCAL_MAX_OCTETS:
        raise TextError("email_too_long")
    if not _LOCAL_PART.fullmatch(local):
        raise TextError("email_local")


def _canonical(address: str) -> str:
    validated = _validated(address)
    return f"{validated.local_part}@{validated.domain}".lower()


def _validated(address: str) -> ValidatedEmail:
    """Let the library validate an address. The part before the @ was checked already."""
    try:
        validated = validate_email(
            address,
            check_deliverability=False,
            allow_smtputf8=False,
            test_environment=True,  # Without it *.test is refused, the domain of all our examples and tests.
        )
    except EmailNotValidError as error:
        raise TextError(_code_of(error)) from error
    if "." not in validated.domain:
        raise TextError("email_domain")
    return validated


def _code_of(error: EmailNotValidError) -> str:
    # The library has one class for all syntax errors. Only its sentence tells them apart.
    too_long = isinstance(error, EmailSyntaxError) and "too long" in str(error)
    return "email_too_long" if too_long else "email_domain"
