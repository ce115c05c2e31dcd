"""What is wrong with an address that was refused, as closely as its text tells. Pure.

A fault is named only where the text shows it: mostly because the address is a good one without it. What is wrong is
never put right here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from app.core.lookalikes import plain_form
from app.core.spreadsheet_errors import is_spreadsheet_error
from app.core.text_errors import TextError

QUOTES: Final = "'\"`´‘’‚‛“”„‟«»‹›′″‴‵‶‷ʼʻʹʽʾʿˊˋˮ˝՚׳״᾽῾❛❜❝❞❟❠❮❯🙶🙷🙸〝〞〟「」『』﹁﹂﹃﹄｢｣⹂ꞌ"
_QUOTED_LOCAL_PART: Final = re.compile(r'"[^"]*"@')
_PREFIX: Final = re.compile(r"\W*(mailto|smtp|sip|e-?mail|mail)\s*:", re.IGNORECASE)
_SEPARATORS: Final = re.compile(r"[,;/|\\&+\s]+")
_LIST_SEPARATORS: Final = re.compile(r"[,;|]+")
_COMMA: Final = re.compile(r"\s*([,;、])\s*")
_SCRIPTS_LIKE_LATIN: Final = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU")
_IsAddress = Callable[[str], bool]


def address_fault(address: str, found: TextError, is_address: _IsAddress) -> TextError:
    """The error of a refused address, in more detail than `found`, or `found` itself.

    `address` is trimmed, in NFC and with full-width forms folded. `is_address` tells whether a text is a good address.
    """
    if found.code in {"email_missing", "email_too_long", "email_line_break", "email_invisible"}:
        return found
    if is_spreadsheet_error(address):
        return TextError("email_spreadsheet_error")
    prefix = _PREFIX.match(address)
    if prefix and "@" in address:
        return TextError("email_mailto", prefix=f"{prefix[1]}:")
    if "<" in address or ">" in address:
        several = _count_addresses(address, _LIST_SEPARATORS) > 1
        return TextError("email_several" if several else "email_angle_bracket")
    if _QUOTED_LOCAL_PART.match(address):
        return TextError("email_quoted")
    return (
        _trailing_mark(address, is_address)
        or _more_than_one_at(address)
        or _quote_mark(address, is_address)
        or _comma(address, is_address)
        or _letter(address)
        or _one_address(address, found)
    )


def mixed_letter(address: str) -> TextError | None:
    """The error of a domain with a label that mixes plain letters with letters of another script that look like them.

    Such a name is registered to deceive, if at all. Whoever has it by a slip means the plain one.
    """
    start = address.rfind("@") + 1
    for label in address[start:].split("."):
        if any(character.isascii() and character.isalpha() for character in label):
            for place, character in enumerate(label, start + 1):
                if plain_form(character) and unicodedata.name(character, "").startswith(_SCRIPTS_LIKE_LATIN):
                    return _letter_error(character, place)
        start += len(label) + 1
    return None


def _more_than_one_at(address: str) -> TextError | None:
    if address.count("@") < 2:
        return None
    return TextError("email_several" if _count_addresses(address, _SEPARATORS) > 1 else "email_double_at")


def _count_addresses(text: str, separators: re.Pattern[str]) -> int:
    return sum(0 < piece.find("@") < len(piece) - 1 for piece in separators.split(text))


def _trailing_mark(address: str, is_address: _IsAddress) -> TextError | None:
    """Marks after a good address, or a mark with which something else begins, such as `?subject=`."""
    at = address.find("@")
    end = next((i for i, c in enumerate(address) if i > at and not (c.isalnum() or c in ".-")), len(address))
    bare = address[:end].rstrip(".-")
    rest = address[len(bare) :]
    if not rest or not (rest[0] in "?/#" or all(map(_is_mark, rest))) or ("@" in rest and rest[0] != "?"):
        return None
    return TextError("email_trailing_mark", mark=rest[0].strip() or rest.strip()[0]) if is_address(bare) else None


def _is_mark(character: str) -> bool:
    return (unicodedata.category(character)[0] in "PS" or character.isspace()) and character not in QUOTES


def _quote_mark(address: str, is_address: _IsAddress) -> TextError | None:
    """A quotation mark before or after the address, also with a trailing mark outside it."""
    outer = address.strip(" ,;.:")
    mark = next((mark for mark in (outer[:1], outer[-1:]) if mark and mark in QUOTES), None)
    if mark is None or "@" not in outer:
        return None
    is_all = not re.search(r"\s", outer) or is_address(outer.strip(QUOTES + " ,;.:"))
    return TextError("email_quote_mark", mark=mark) if is_all else None


def _comma(address: str, is_address: _IsAddress) -> TextError | None:
    local, _, domain = address.partition("@")
    comma = _COMMA.search(domain)
    if comma and is_address(f"{local}@{_COMMA.sub('.', domain)}"):
        return TextError("email_comma_in_domain", mark=comma[1])
    return None


def _letter(address: str) -> TextError | None:
    """A character that looks like a plain one. Before the @ there must be none that looks like none."""
    local, at, domain = address.partition("@")
    if not at:
        odd = [(place, character) for place, character in enumerate(address, 1) if plain_form(character) == "@"]
        return _letter_error(odd[0][1], odd[0][0]) if odd else None
    odd = [(place, character) for place, character in enumerate(local, 1) if not character.isascii()]
    if odd:
        has_plain_form = all(plain_form(character) for _, character in odd)
        return _letter_error(odd[0][1], odd[0][0]) if has_plain_form else None
    for place, character in enumerate(domain, len(local) + 2):
        if plain_form(character) and unicodedata.category(character)[0] != "L":
            return _letter_error(character, place)
    return mixed_letter(address)


def _letter_error(character: str, place: int) -> TextError:
    name = f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()
    plain = plain_form(character) or ""
    return TextError("email_letter", character=character, name=name, plain=plain, place=str(place))


def _one_address(address: str, found: TextError) -> TextError:
    """A comma or semicolon alone does not make several addresses."""
    if found.code != "email_several":
        return found
    local, at, _ = address.partition("@")
    if not at:
        return TextError("email_no_at")
    if re.search(r"\s", address):
        return TextError("email_space")
    return TextError("email_local" if re.search("[,;]", local) else "email_domain")
