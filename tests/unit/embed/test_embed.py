"""What counts as the origin of a host shell, and what a request says of where it comes from."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from app.core.errors import DomainError
from app.embed.origins import clean_origin
from app.embed.surfaces import Embedding, Surface, Way
from app.extensions import babel


@pytest.mark.parametrize(
    "typed, clean",
    [
        ("https://shell.example", "https://shell.example"),
        (" HTTPS://Shell.Example:443/ ", "https://shell.example"),
        ("https://shell.example:8443", "https://shell.example:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://faß.example", "https://xn--fa-hia.example"),
        ("https://192.0.2.7", "https://192.0.2.7"),
        ("https://[2001:DB8:0::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://localhost:8001", "http://localhost:8001"),
        ("http://shell.localhost:80", "http://shell.localhost"),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8001"),
        ("http://[::1]:8001", "http://[::1]:8001"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(typed: str, clean: str) -> None:
    assert clean_origin(typed) == clean
    assert clean_origin(clean) == clean


@pytest.mark.parametrize(
    "typed",
    [
        "shell.example",
        "//shell.example",
        "ftp://shell.example",
        "https://",
        "https://*.shell.example",
        "*",
        "https://shell.example/accounts",
        "https://shell.example?x",
        "https://shell.example#x",
        "https://user@shell.example",
        "https://shell.example:99999",
        "https://shell.example:",
        "https://shell .example",
        "https://shell\t.example",
        "https://shell.example\nhttps://other.example",
        "https://shell.example\\x",
        "https://shell.example; script-src *",
        "https://shell.example'",
        "https://-shell.example",
        "https://shell..example",
        "https://[::1",
        "https://[fe80::1%25eth0]",
        "https://127.1",
        "https://0x7f.1",
        "http://shell.example",
        "http://127.0.0.1.shell.example",
        "http://localhost.shell.example",
        "https://" + ".".join(["a" * 60] * 5),
        "",
        "null",
        "'self'",
        "data:",
    ],
)
def test_what_is_more_or_less_than_an_origin_is_refused(typed: str) -> None:
    app = Flask(__name__)
    babel.init_app(app)
    with app.test_request_context(), pytest.raises(DomainError) as refusal:
        clean_origin(typed)
    assert re.search("isn't an origin|isn't encrypted", refusal.value.message)


def test_embedding_is_read_as_it_is_written() -> None:
    for surface in Surface:
        for way in Way:
            assert Embedding.read(str(Embedding(surface, way))) == Embedding(surface, way)
    for text in ("", "tab", "inline", "tab  inline", "tab inline x", "TAB INLINE"):
        assert Embedding.read(text) is None
