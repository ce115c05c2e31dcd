"""Any field of a form can be posted as a file, by somebody with a program of their own."""

from __future__ import annotations

import io
from http import HTTPStatus

import pytest

from tests.conftest import HARBOUR
from tests.support.browser import Browser, ic

SETTINGS = f"/portals/{HARBOUR}/settings"
FORMS = {
    "/login": ["email", "password"],
    "/password-reset": ["email"],
    ic(HARBOUR): ["company_name", "email", "message"],
    f"{SETTINGS}/branding": ["subject", "greeting"],
    f"{SETTINGS}/email": ["host", "port", "sender_address"],
    f"{SETTINGS}/invitations": ["preview_above"],
    f"{SETTINGS}/webhooks": ["url"],
    f"{SETTINGS}/embedding": ["origin"],
}


@pytest.mark.parametrize("path", FORMS)
def test_a_file_in_place_of_a_text_is_no_value(admin: Browser, path: str) -> None:
    answer = admin.post(path, {name: (io.BytesIO(b"x"), "text.txt") for name in FORMS[path]})
    assert answer.status_code in {HTTPStatus.SEE_OTHER, HTTPStatus.OK, HTTPStatus.UNPROCESSABLE_ENTITY}
