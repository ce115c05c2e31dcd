"""Letters and marks that look like a plain one of the keyboard. Pure."""

from __future__ import annotations

import unicodedata
from typing import Final

# What it looks like -> the characters that do. Those that Unicode itself derives from the plain one (𝐚, ⓐ, ª, ﬁ) are
# not here; NFKC knows them.
_TABLE: Final = {
    "a": "аαɑⲁ", "b": "ЬƄьᏏ", "c": "сϲᴄⲥ", "d": "ԁᏧᑯ", "e": "еєҽе℮", "f": "ꞙẝ", "g": "ɡᶃցԍ", "h": "һհᏂ",
    "i": "іıιɩⅰӏ¡ɪ", "j": "јϳ", "k": "кκᴋ", "l": "ӏⅼⲓǀ", "m": "мⅿᴍ", "n": "пոռη", "o": "оοօᴏ๐০ⲟסഠ", "p": "рρⲣ",
    "q": "ԛգզ", "r": "гᴦⲅ", "s": "ѕꜱ", "t": "тτᴛ", "u": "υսцᴜ", "v": "νѵᴠ", "w": "ѡԝωᴡ", "x": "хχ×", "y": "уγүყ",
    "z": "ᴢ", "A": "АΑᎪ", "B": "ВΒᏴ", "C": "СϹᏟ", "D": "Ꭰ", "E": "ЕΕᎬ", "F": "Ϝ", "G": "ԌᏀ", "H": "НΗᎻ", "I": "ІΙӀ",
    "J": "ЈᎫ", "K": "КΚᏦ", "L": "Ꮮ", "M": "МΜᎷ", "N": "Ν", "O": "ОΟՕ", "P": "РΡᏢ", "Q": "Ԛ", "R": "Ꭱ", "S": "ЅՏᏚ",
    "T": "ТΤᎢ", "U": "Ս", "V": "ѴᏙ", "W": "ԜᎳ", "X": "ХΧ", "Y": "УΥҮ", "Z": "ΖᏃ", "3": "ЗҘ", "4": "Ч", "6": "б",
    "-": "‐‑‒–—―−⁃﹘", "'": "’‘‛′ʼʹʻˈ´`＇", ".": "․·。｡•", "_": "ˍ‗", "@": "﹫", "/": "⁄∕", "~": "∼˜",
}  # fmt: skip
_PLAIN: Final = {ord(character): plain for plain, all_of_them in _TABLE.items() for character in all_of_them}


def plain_form(character: str) -> str | None:
    """The plain letter, digit or mark that a character looks like, or None if it looks like none."""
    plain = _PLAIN.get(ord(character))
    if plain:
        return plain
    derived = unicodedata.normalize("NFKC", character)
    return derived if derived != character and derived.isascii() and derived.strip() else None
