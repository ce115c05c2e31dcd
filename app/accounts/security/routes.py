"""The second step of signing in: a code, after the password was right."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.accounts.current import browser_tokens, tokens_of_browser
from app.accounts.guards import complete_sign_in, pending_token
from app.accounts.security.codes import check_code
from app.accounts.security.factors import factors_of
from app.accounts.security.forms import SignInCodeForm, wrong_code, wrong_recovery_code
from app.accounts.security.pending import PendingEnded, look_up_pending
from app.accounts.sign_in import finish_sign_in
from app.core.errors import TooManyRequests
from app.web.responses import local_path, with_retry_after

bp = Blueprint("second_factor", __name__)


@bp.get("/login/second-factor")
def ask() -> ResponseReturnValue:
    try:
        return _page(SignInCodeForm(formdata=None, next=request.args.get("next", "")), 200)
    except PendingEnded:
        return _password_first(request.args.get("next"))


@bp.post("/login/second-factor")
def answer() -> ResponseReturnValue:
    form = SignInCodeForm()
    next_path = local_path(form.next.data)
    try:
        if not form.validate():
            return _page(form, 422)
        signed_in = finish_sign_in(
            pending_token(),
            partial(check_code, code=form.code.data or "", browser_tokens=browser_tokens()),
            browser_tokens=browser_tokens(),
            sessions_before=tokens_of_browser(),
        )
        if signed_in is None:
            form.code.errors = [wrong_recovery_code() if _is_recovering() else wrong_code()]
            return _page(form, 422)
    except TooManyRequests as refusal:
        form.code.errors = [refusal.message]
        return with_retry_after(_page(form, 429), refusal)
    except PendingEnded:
        return _password_first(form.next.data)
    return complete_sign_in(signed_in, next_path) or _password_first(form.next.data)


def _page(form: SignInCodeForm, status: int) -> Response:
    """The form, for the pending sign-in of this browser. Raises `PendingEnded`."""
    pending = look_up_pending(pending_token())
    page = render_template(
        "accounts/second_factor.html",
        email=pending.email,
        form=form,
        factors=factors_of(pending.user_id),
        is_recovering=_is_recovering(),
    )
    return make_response(page, status)


def _is_recovering() -> bool:
    """Whether the page asks for a recovery code. It takes either kind of code all the same."""
    return "recovery" in request.args


def _password_first(wanted: str | None) -> Response:
    return make_response(redirect(url_for("identity.login", next=local_path(wanted), again=""), 303))
