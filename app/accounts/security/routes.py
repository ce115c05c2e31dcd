"""The second step of signing in: a code, after the password was right."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from app.accounts.current import browser_tokens, tokens_of_browser
from app.accounts.guards import complete_sign_in, pending_token
from app.accounts.pages import is_recovering, password_first, second_step_page
from app.accounts.security.codes import check_code
from app.accounts.security.forms import SignInCodeForm, wrong_code, wrong_recovery_code
from app.accounts.security.pending import PendingEnded
from app.accounts.sign_in import finish_sign_in
from app.core.errors import TooManyRequests
from app.web.responses import local_path, with_retry_after

bp = Blueprint("second_factor", __name__)


@bp.get("/login/second-factor")
def ask() -> ResponseReturnValue:
    try:
        return second_step_page(SignInCodeForm(formdata=None, next=request.args.get("next", "")), 200)
    except PendingEnded:
        return password_first(request.args.get("next"))


@bp.post("/login/second-factor")
def answer() -> ResponseReturnValue:
    form = SignInCodeForm()
    next_path = local_path(form.next.data)
    try:
        if not form.validate():
            return second_step_page(form, 422)
        signed_in = finish_sign_in(
            pending_token(),
            partial(check_code, code=form.code.data or "", browser_tokens=browser_tokens()),
            browser_tokens=browser_tokens(),
            sessions_before=tokens_of_browser(),
        )
        if signed_in is None:
            form.code.errors = [wrong_recovery_code() if is_recovering() else wrong_code()]
            return second_step_page(form, 422)
    except TooManyRequests as refusal:
        form.code.errors = [refusal.message]
        return with_retry_after(second_step_page(form, 429), refusal)
    except PendingEnded:
        return password_first(form.next.data)
    return complete_sign_in(signed_in, next_path) or password_first(form.next.data)
