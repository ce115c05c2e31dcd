"""Bulk Invite: the template, the upload dialog, the rejection and its downloads, and an import's progress."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from flask import (
    Blueprint,
    Response,
    current_app,
    flash,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.exceptions import RequestEntityTooLarge

from app.accounts.current import the_user
from app.clients.forms import MessageForm
from app.core.errors import Conflict, DomainError, NotFound
from app.embed.service import origins_of
from app.imports.client_list import ClientList, Note
from app.imports.csv_reader import TEMPLATE, read_csv, report_csv
from app.imports.file_faults import MAX_BYTES
from app.imports.preview import FirstMail, ImportPreview, digest_of, is_previewed, preview_of
from app.imports.progress import ImportProgress, dismiss_import, find_import, recent_imports, warnings_of
from app.imports.reader import CSV, annotated_file
from app.imports.rejected_uploads import count_rejection
from app.imports.rejection import rejection_of
from app.imports.service import Imported, check_file, checked_against_portal, import_clients, read_upload
from app.imports.warnings import RowWarning, find_warnings
from app.imports.workbook_files import XLSX, template_xlsx
from app.invitations.preview import coming_mail
from app.models import Portal
from app.portals.guards import portal_view
from app.web.responses import CLIENTS_CHANGED, dialog, drain_request, shown_mail, wants_fragment
from app.web.uploads import takes_upload

bp = Blueprint("importing", __name__, url_prefix="/portals/<portal_id>/settings/accounts/imported-clients")

# The limit applies to the file. The form around the file needs some space of its own.
_REQUEST_BYTES = MAX_BYTES + 64 * 1024
_DIALOG = "imports/_import.html"
_REJECTION = "imports/_rejection.html"


@bp.get("/template.csv")
@portal_view(change=False)
def template(portal: Portal) -> ResponseReturnValue:
    return _attachment(TEMPLATE, "imported-clients-template.csv")


@bp.get("/template.xlsx")
@portal_view(change=False)
def template_workbook(portal: Portal) -> ResponseReturnValue:
    return _attachment(template_xlsx(), "imported-clients-template.xlsx", XLSX)


@bp.get("/import")
@portal_view(change=True)
def choose_file(portal: Portal) -> ResponseReturnValue:
    return dialog(_DIALOG, portal=portal, result=None, form=MessageForm(formdata=None))


@bp.post("/import")
@takes_upload(_REQUEST_BYTES)
@portal_view(change=True)
def upload(portal: Portal) -> ResponseReturnValue:
    """Import a file. If the portal wants a preview first, the answer is that, and the file is posted again.

    `skip_existing=1` leaves out the rows that are in the table already. `confirmed` is the digest of a preview.
    """
    data, form = _uploaded(), MessageForm()
    if data is None:
        return _no_file(portal)
    if not form.validate():
        return _answer(portal, 422, _REJECTION, form, problem=form.message.errors[0])
    message, skips = form.message.data, request.form.get("skip_existing") == "1"
    file, digest = read_upload(data), digest_of(data, message)
    confirmed = request.form.get("confirmed")
    if file.errors or is_previewed(portal, len(file.rows), digest, confirmed):
        checked = checked_against_portal(portal.id, file, skip_existing=skips)
        if checked.errors:
            return _rejected(portal, checked, is_attempt=True)
        if is_previewed(portal, len(checked.rows), digest, confirmed):
            preview = preview_of(checked.rows, len(file.rows) - len(checked.rows), file.notes, digest)
            return _previewed(portal, preview, message, skips=skips)
    name = request.files["file"].filename or ""
    outcome = import_clients(portal.id, the_user().id, name, file.rows, skip_existing=skips, message=message)
    if not isinstance(outcome, Imported):
        return _rejected(portal, file.with_errors(outcome), is_attempt=True)
    if outcome.import_id is None:
        return _answer(portal, 200, "imports/_nothing_new.html", MessageForm(), left_out=outcome.left_out)
    return _accepted(portal, outcome.import_id, outcome, file.notes)


@bp.get("/import/mail")
@portal_view(change=True)
def previewed_mail(portal: Portal) -> ResponseReturnValue:
    """The first mail of an import that is previewed, for a frame in the preview."""
    first = FirstMail.opened(request.args.get("mail", ""), portal.id)
    if first is None:
        raise Conflict(_("This preview is out of date. Press Import again."))
    mail = coming_mail(portal, the_user(), first.company_name, first.email, first.message)
    return shown_mail(mail.html, origins_of(portal.id))


@bp.post("/import/report.csv")
@takes_upload(_REQUEST_BYTES)
@portal_view(change=True)
def report(portal: Portal) -> ResponseReturnValue:
    """The errors of a posted file, as a CSV file. We keep no uploaded file, so the browser posts it again."""
    data = _uploaded()
    if data is None:
        return _no_file(portal)
    return _attachment(report_csv(check_file(portal.id, data).errors), "import-errors.csv")


@bp.post("/import/annotated.csv")
@takes_upload(_REQUEST_BYTES)
@portal_view(change=True)
def annotated(portal: Portal) -> ResponseReturnValue:
    """The annotated file: the posted file with a column that says what is wrong in each bad row."""
    data = _uploaded()
    if data is None:
        return _no_file(portal)
    file = check_file(portal.id, data)
    if not file.readable:
        return _rejected(portal, file)
    copy = annotated_file(data, file.errors)
    return _attachment(copy.content, f"import-with-problems{copy.ending}", copy.content_type)


@bp.get("/imports/recent")
@portal_view(change=False)
def recent(portal: Portal) -> ResponseReturnValue:
    return _recent(portal)


@bp.post("/imports/<uuid:import_id>/dismiss")
@portal_view(change=True)
def dismiss(portal: Portal, import_id: UUID) -> ResponseReturnValue:
    here = url_for("clients.index", portal_id=portal.id)
    dismiss_import(portal.id, import_id)
    return _recent(portal) if wants_fragment() else redirect(here, 303)


@bp.get("/imports/<uuid:import_id>")
@portal_view(change=False)
def progress(portal: Portal, import_id: UUID) -> ResponseReturnValue:
    """The progress of an import's mails: a bar that polls, or a page of its own."""
    found = find_import(portal.id, import_id)
    if found is None:
        raise NotFound
    if found.client_import.taken_back_at is not None and not wants_fragment():
        return redirect(url_for("imports.index", portal_id=portal.id), 303)
    if not wants_fragment():
        return _done_dialog(portal, found, warnings_of(portal.id, import_id), request.args.get("left_out", 0, type=int))
    place = "dialog" if request.args.get("place") == "dialog" else "page"
    response = make_response(
        render_template("imports/_progress.html", portal=portal, progress=found, place=place, may_change=g.may_change)
    )
    if found.is_over:
        # The bar stops polling now, so the table must reload once to show the result.
        response.headers["HX-Trigger"] = CLIENTS_CHANGED
    return response


def _recent(portal: Portal) -> str:
    return render_template(
        "imports/_imports.html", portal=portal, imports=recent_imports(portal.id), may_change=g.may_change
    )


@bp.errorhandler(RequestEntityTooLarge)
def _too_large(error: RequestEntityTooLarge) -> ResponseReturnValue:
    drain_request()
    try:
        return _too_large_dialog(portal_id=(request.view_args or {})["portal_id"])
    except DomainError as refusal:
        # Flask does not handle an exception that is raised inside an error handler.
        return current_app.handle_user_exception(refusal)


@portal_view(change=True)
def _too_large_dialog(portal: Portal) -> ResponseReturnValue:
    # The rest of the form cannot be read.
    return _rejected(portal, read_csv(bytes(MAX_BYTES + 1)), MessageForm(formdata=None))


def _uploaded() -> bytes | None:
    """The posted file, or None if none was chosen. Reads at most one byte more than the limit."""
    file = request.files.get("file")
    return file.stream.read(MAX_BYTES + 1) if file is not None and file.filename else None


def _no_file(portal: Portal) -> Response:
    problem = _("Nothing was imported: no file was chosen. Choose a CSV file or a workbook first.")
    return _answer(portal, 422, _REJECTION, MessageForm(), problem=problem)


def _rejected(
    portal: Portal, file: ClientList, form: MessageForm | None = None, *, is_attempt: bool = False
) -> Response:
    """The rejection. With `is_attempt` it is counted, unless the file was too large to be looked at."""
    status = 413 if file.errors[0].code == "file_too_large" else 422
    rejection = rejection_of(file)
    response = _answer(portal, status, _REJECTION, form or MessageForm(), rejection=rejection)
    if is_attempt and status == 422:
        count_rejection(portal.id, the_user().id, rejection)
    return response


def _previewed(portal: Portal, preview: ImportPreview, message: str | None, *, skips: bool) -> Response:
    first = FirstMail(preview.first_rows[0].company_name, preview.first_rows[0].email, message)
    mail = coming_mail(portal, the_user(), first.company_name, first.email, message)
    return _answer(
        portal,
        200,
        "imports/_preview.html",
        MessageForm(),
        preview=preview,
        skips=skips,
        subject=mail.subject,
        mail_url=url_for("importing.previewed_mail", portal_id=portal.id, mail=first.sealed(portal.id)),
        # A browser without our script shows a new page, and on that no file is chosen.
        is_file_kept=wants_fragment(),
    )


def _answer(portal: Portal, status: int, result: str, form: MessageForm, **context: object) -> Response:
    """A template as the result below the form. Without htmx, the whole dialog with what was typed."""
    # Only the result is swapped in, so that the file stays chosen: it may be posted again.
    template = result if wants_fragment() else _DIALOG
    return dialog(template, status, portal=portal, result=result, form=form, **context)


def _accepted(portal: Portal, import_id: UUID, outcome: Imported, notes: Sequence[Note]) -> ResponseReturnValue:
    left_out = outcome.left_out
    found = find_import(portal.id, import_id)
    if found is None:
        raise NotFound
    if not wants_fragment():
        for sentence in (_message(found, left_out), *(note.text for note in notes)):
            flash(sentence)
        told = left_out or None
        return redirect(url_for("importing.progress", portal_id=portal.id, import_id=import_id, left_out=told), 303)
    warnings = find_warnings((row.company_name, row.email) for row in outcome.rows)
    response = _done_dialog(portal, found, warnings, left_out, notes)
    response.headers["HX-Retarget"] = "#dialog-content"
    response.headers["HX-Trigger"] = CLIENTS_CHANGED
    return response


def _done_dialog(
    portal: Portal,
    found: ImportProgress,
    warnings: Sequence[RowWarning],
    left_out: int,
    notes: Sequence[Note] = (),
) -> Response:
    return dialog(
        "imports/_done.html",
        portal=portal,
        progress=found,
        warnings=warnings,
        notes=notes,
        place="dialog",
        left_out=left_out,
        message=_message(found, left_out),
    )


def _message(found: ImportProgress, left_out: int) -> str:
    imported = ngettext(
        "%(num)s client imported. The invitation is on its way.",
        "%(num)s clients imported. Their invitations are on the way.",
        found.client_import.row_count,
    )
    if not left_out:
        return imported
    return f"{imported} " + ngettext(
        "%(num)s client was left out because it is in the table already.",
        "%(num)s clients were left out because they are in the table already.",
        left_out,
    )


def _attachment(content: bytes, file_name: str, content_type: str = CSV) -> Response:
    return Response(
        content,
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
    )
