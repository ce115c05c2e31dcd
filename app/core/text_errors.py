"""Why a name or an address cannot be stored, and what to do: codes with their sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask_babel import gettext


def N_(sentence: str) -> str:
    """Mark a sentence for the translators. It is translated later, where the reader's language is known.

    Returns the English sentence unchanged. (`pybabel extract -k N_` finds it.)
    """
    return sentence


_FORMULA: Final = N_("The cell has a formula whose result isn't saved in the file.")
_SAVE_WITH_RESULTS: Final = N_("Open the file in Excel or LibreOffice, save it, and choose it again.")
# code -> (what is wrong, what to do). The names in %(…)s are keys of `TextError.params`.
SENTENCES: Final[Mapping[str, tuple[str, str]]] = {
    "name_missing": (
        N_("The name is empty."),
        N_("Enter a name of up to 100 characters."),
    ),
    "name_too_long": (
        N_("The name is longer than 100 characters."),
        N_("Shorten it to at most 100 characters."),
    ),
    "name_line_break": (
        N_("The name contains a line break."),
        N_("Enter the name on one line."),
    ),
    "name_invisible": (
        N_("The name contains an invisible character (%(character)s)."),
        N_("Retype the name instead of pasting it."),
    ),
    "name_character": (
        N_("Names can't contain %(character)s."),
        N_("Remove it or spell it out."),
    ),
    "name_spreadsheet_error": (
        N_("This is the error of a formula in the spreadsheet, not a name."),
        N_("Enter the company's name, or correct the formula and save the file again."),
    ),
    "name_formula": (_FORMULA, _SAVE_WITH_RESULTS),
    "message_too_long": (
        N_("The message is longer than %(most)s characters."),
        N_("Shorten it to at most %(most)s characters."),
    ),
    "message_invisible": (
        N_("The message contains an invisible character (%(character)s)."),
        N_("Retype that part instead of pasting it."),
    ),
    "message_link": (
        N_("The message contains something that mail programs turn into a link."),
        N_("Remove web and email addresses, and put a space after each full stop."),
    ),
    "email_missing": (
        N_("The email address is empty."),
        N_("Enter an address like name@example.com."),
    ),
    "email_too_long": (
        N_("The email address is too long: at most 254 characters, 64 of them before the @."),
        N_("Check that the field contains one address and nothing else."),
    ),
    "email_line_break": (
        N_("The email address contains a line break."),
        N_("Enter one address on one line."),
    ),
    "email_angle_bracket": (
        N_("The email address contains < or >."),
        N_("Enter only the address, without a name and without < and >."),
    ),
    "email_several": (
        N_("This looks like more than one email address."),
        N_("Enter exactly one address; add each further person as a separate client."),
    ),
    "email_quote_mark": (
        N_("There is a quotation mark or apostrophe (%(mark)s) around the email address."),
        N_("Enter only the address, without quotation marks or apostrophes around it."),
    ),
    "email_trailing_mark": (
        N_("The email address is followed by “%(mark)s”."),
        N_("Delete everything after the address."),
    ),
    "email_comma_in_domain": (
        N_("The part after the @ contains “%(mark)s” where a dot belongs."),
        N_("Replace it with a dot, as in name@example.com."),
    ),
    "email_double_at": (
        N_("The email address contains more than one @."),
        N_("Leave exactly one @, as in name@example.com."),
    ),
    "email_mailto": (
        N_("“%(prefix)s” is in front of the email address."),
        N_("Enter only the address, without “%(prefix)s”."),
    ),
    "email_letter": (
        N_(
            "Character %(place)s of the email address is “%(character)s” (%(name)s). It looks like “%(plain)s” but is "
            "another one."
        ),
        N_("Retype it as “%(plain)s”."),
    ),
    "email_spreadsheet_error": (
        N_("This is the error of a formula in the spreadsheet, not an email address."),
        N_("Enter the client's address, or correct the formula and save the file again."),
    ),
    "email_formula": (_FORMULA, _SAVE_WITH_RESULTS),
    "email_space": (
        N_("The email address contains a space."),
        N_("Enter only the address, without spaces and without a name."),
    ),
    "email_invisible": (
        N_("The email address contains an invisible character (%(character)s)."),
        N_("Retype the address instead of pasting it."),
    ),
    "email_no_at": (
        N_("The email address has no @."),
        N_("Enter an address like name@example.com."),
    ),
    "email_quoted": (
        N_("The email address contains a quotation mark."),
        N_("Enter the address without quotation marks, or ask for an address without them."),
    ),
    "email_local_not_ascii": (
        N_("The email address contains %(character)s before the @, which many mail servers don't accept."),
        N_("Ask for an address with only plain letters (a to z) and digits before the @."),
    ),
    "email_local": (
        N_(
            "The part before the @ isn't valid: it is empty, has a dot in the wrong place, or contains a character "
            "that isn't allowed there."
        ),
        N_("Check the spelling; an address looks like name@example.com."),
    ),
    "email_domain": (
        N_("The part after the @ isn't a valid email domain."),
        N_("Check the spelling; an address looks like name@example.com."),
    ),
}


class TextError(ValueError):
    """A text that cannot be stored.

    `code` is short and stable (a key of `SENTENCES`). `params` fills the sentences. `reason` says what is wrong and
    `remedy` what to do, in the reader's language. `message`, which is also `str(error)`, is both. No sentence repeats
    the text itself, only single characters of it that are safe to show.
    """

    def __init__(self, code: str, **params: str) -> None:
        reason, remedy = SENTENCES[code]
        self.code = code
        self.params = params
        self.reason = gettext(reason) % params
        self.remedy = gettext(remedy) % params
        self.message = f"{self.reason} {self.remedy}"
        super().__init__(self.message)
