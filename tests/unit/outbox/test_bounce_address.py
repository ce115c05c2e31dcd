"""The envelope sender: a token that names the mail, and that only we can make."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from app.core.ids import new_id
from app.outbox.bounce_address import bounce_address, read_token, tokens_in, without_tokens
from config import BOUNCE_TOKEN_LENGTH

ADDRESS = "bounces@mail.test"


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="the key of today", SECRET_KEY_FALLBACKS=[])
    return app


def token_of(address: str) -> str:
    (token,) = tokens_in(address, ADDRESS)
    return token


def test_an_address_has_room_for_its_token_and_names_its_mail(app: Flask) -> None:
    longest = "b" * 21 + "@mail.test"
    with app.app_context():
        for base in (ADDRESS, longest):
            mail_id = new_id()
            address = bounce_address(base, mail_id)
            local, _, domain = address.partition("@")
            assert len(local) <= 64
            assert domain == "mail.test"
            assert re.fullmatch(rf"[a-z2-7]{{{BOUNCE_TOKEN_LENGTH}}}", local.partition("+")[2])
            assert bounce_address(base, mail_id) == address
            for written in (address, address.upper(), f'"{local}"@{domain}', f"x <{address}>, y@z.test"):
                assert read_token(tokens_in(written, base)[0]) == mail_id


def test_a_changed_token_is_none(app: Flask) -> None:
    with app.app_context():
        token = token_of(bounce_address(ADDRESS, new_id()))
        for place in range(len(token) - 1):  # the last one has only three bits of the signature
            other = "a" if token[place] != "a" else "b"
            assert read_token(token[:place] + other + token[place + 1 :]) is None
        for other in ("", "a", token[:-1], token + "a", token[:-1] + "0", "ä" * 42, "=" * 42):
            assert read_token(other) is None


def test_each_key_counts_and_no_other(app: Flask) -> None:
    with app.app_context():
        mail_id = new_id()
        token = token_of(bounce_address(ADDRESS, mail_id))
        app.config["SECRET_KEY"] = "the key of tomorrow"
        assert read_token(token) is None
        app.config["SECRET_KEY_FALLBACKS"] = ["another one", "the key of today"]
        assert read_token(token) == mail_id


def test_what_stands_in_the_place_of_a_token_is_found() -> None:
    assert tokens_in("<bounces+made.up@mail.test>", ADDRESS) == ["made.up"]
    assert tokens_in("other+tag@mail.test, bounces@mail.test, bounces+x@mail.test.elsewhere", ADDRESS) == []
    assert tokens_in(f"srs0=x=mail.test=bounces+{'a' * 42}@forwarder.test", None) == ["a" * 42]


def test_a_servers_words_are_told_without_it(app: Flask) -> None:
    with app.app_context():
        address = bounce_address(ADDRESS, new_id())
    assert without_tokens(f"550 <{address.upper()}> refused") == "550 <BOUNCES+‹cut›@MAIL.TEST> refused"
