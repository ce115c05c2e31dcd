"""Asking for a second factor before a sensitive change (`app.accounts.security.step_up`): what was typed is kept.

There are two ways. A form that holds a password asks in the form itself (`StepUpInForm`), because a password never
stands in a page of ours. Any other post is guarded by `stepped_up`: a page between asks for the code, carries what was
typed, and then does what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from flask import Response, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from wtforms import StringField

from app.accounts.current import browser_tokens, signed_in_user, the_user
from app.accounts.security.codes import check_code
from app.accounts.security.forms import wrong_code
from app.accounts.security.step_up import confirm, needs_step_up
from app.core.errors import TooManyRequests
from app.core.forms import TextForm
from app.core.i18n import lazy
from app.web.responses import current_page, local_path, opening_dialog, page_of_form, wants_fragment, with_retry_after

_OURS = ("csrf_token", "step_up_code", "step_up_back")
_SECRET = "password"


class StepUpForm(TextForm):
    """The code that the page between asks for."""

    step_up_code = StringField(lazy("Code"))


class StepUpInForm(StepUpForm):
    """The base of forms that hold a password. The field of the code is there for whoever is to be asked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        user = signed_in_user()
        if user is None or not needs_step_up(user):
            del self.step_up_code

    @property
    def asks_for_code(self) -> bool:
        return "step_up_code" in self

    def is_confirmed(self) -> bool:
        """Whether nobody has to be asked any more. Call it last: a right code is used up. Raises `SessionEnded`."""
        if not self.asks_for_code:
            return True
        try:
            fault = _fault_of_code()
        except TooManyRequests as refusal:
            fault = refusal.message
        if fault is not None:
            self.step_up_code.errors = [fault]
            return False
        del self.step_up_code
        return True


def stepped_up(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Guard a post of something sensitive, below the guard that says who may do it.

    Whoever is to be asked gets a page, or with htmx a dialog, that asks for a code and carries the texts of the form.
    It posts to the same address, and then the view does what it was asked for. Raises `SessionEnded`.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        if request.method != "POST" or not needs_step_up(the_user()):
            return view(*args, **kwargs)
        form = StepUpInForm()
        if "step_up_code" not in request.form:
            return _ask(form, 200)
        try:
            fault = _fault_of_code()
        except TooManyRequests as refusal:
            form.step_up_code.errors = [refusal.message]
            return with_retry_after(_ask(form, 429), refusal)
        if fault is not None:
            form.step_up_code.errors = [fault]
            return _ask(form, 422)
        return view(*args, **kwargs)

    return guarded


def _fault_of_code() -> str | None:
    """Why the code that was posted does not do, or None once it has confirmed the session.

    Raises `TooManyRequests`, and `SessionEnded`.
    """
    code = request.form.get("step_up_code", "").strip()
    if not code:
        return _("Enter a code.")
    user = the_user()
    user_id, token = user.id, user.get_id()
    is_right = confirm(user_id, token, partial(check_code, code=code, browser_tokens=browser_tokens()))
    return None if is_right else wrong_code()


def _ask(form: StepUpInForm, status: int) -> Response:
    template = "accounts/_step_up.html" if wants_fragment() else "accounts/step_up.html"
    carried = [
        (name, text)
        for name, texts in request.form.lists()
        if name not in _OURS and _SECRET not in name
        for text in texts
    ]
    came_from = local_path(request.form.get("step_up_back")) or current_page() or page_of_form()
    page = render_template(
        template,
        is_dialog=wants_fragment(),
        form=form,
        carried=carried,
        address=request.script_root + request.full_path.rstrip("?"),
        back=came_from or url_for("portals.choose"),
    )
    response = make_response(page, status)
    return opening_dialog(response) if wants_fragment() else response
