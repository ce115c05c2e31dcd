"""As it is deployed: gunicorn and the worker as processes, a real mail server, and people without JavaScript."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.extensions import db
from app.models import MailState, OutboxMail
from tests.conftest import HARBOUR
from tests.support import smtp
from tests.support.browser import ic, words
from tests.support.databases import KINDS
from tests.support.factories import OTHER_PASSWORD, PASSWORD, import_file, make_user
from tests.support.http_browser import HttpBrowser
from tests.support.processes import FLASK, GUNICORN, PATIENCE_SECONDS, Deployment, Process, wait_until
from tests.support.remains import bytes_of
from tests.support.smtp import MailServer

ADA = "ada@harbour.test"
INVITEES_PASSWORD = "a long enough passphrase"


@pytest.fixture(scope="module", params=["sqlite"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """An installation made by the operator's commands alone, on an empty database; its web server runs.

    Each test invites addresses of its own.
    """
    folder = tmp_path_factory.mktemp("deployment")
    database_url = request.getfixturevalue(f"{request.param}_databases").empty(folder, "processes")
    controller, mailboxes = smtp.start()
    deployment = Deployment(folder, database_url, mailboxes)
    deployment.flask("db", "upgrade")
    portal_id = deployment.flask("portal", "create", "--name", "Harbour Tours", "--id", HARBOUR).split()[-1]
    deployment.flask("user", "create", "--email", ADA, "--name", "Ada Berg", "--password-stdin", typed=PASSWORD)
    deployment.flask("user", "grant", "--portal", portal_id, "--email", ADA, "--role", "client_admin")
    with deployment.web():
        yield deployment
    deployment.app_driver.do(lambda: db.engine.dispose())
    deployment.close()
    controller.stop(no_assert=True)


on_both = pytest.mark.parametrize("deployment", KINDS, indirect=True)


@pytest.fixture
def a_worker(deployment: Deployment) -> None:
    """The worker runs."""
    deployment.let_worker_run()


@pytest.fixture
def no_worker(deployment: Deployment) -> None:
    """The test starts its workers itself."""
    deployment.let_no_worker_run()


@pytest.fixture
def mailboxes(deployment: Deployment) -> MailServer:
    return deployment.mailboxes


@pytest.fixture
def admin(deployment: Deployment) -> HttpBrowser:
    return signed_in(deployment.url)


def signed_in(url: str, email: str = ADA, password: str = PASSWORD) -> HttpBrowser:
    browser = HttpBrowser(url)
    browser.open("/login")
    assert browser.press("Sign in", email=email, password=password).status == 200
    return browser


def add(admin: HttpBrowser, email: str, company_name: str = "Nordwind Reisen") -> None:
    admin.open(ic(HARBOUR))
    admin.follow("Manual Add")
    assert admin.press("Save", company_name=company_name, email=email).status == 200


def status_of(admin: HttpBrowser, email: str) -> str:
    cell = admin.open(ic(HARBOUR)).row(email).select_one("[data-col=status]")
    assert cell is not None
    return words(cell)


def deliveries(deployment: Deployment, *emails: str) -> list[MailState]:
    """How far the mails to these people have got."""
    query = select(OutboxMail.state).where(OutboxMail.recipient.in_(emails)).order_by(OutboxMail.id)
    return list(deployment.app_driver.do(lambda: db.session.scalars(query).all()))


# The whole of it, without JavaScript


@on_both
def test_an_admin_invites_and_the_client_registers_verifies_and_has_joined(
    deployment: Deployment, a_worker: None, mailboxes: MailServer
) -> None:
    nora = "info@nordwind.test"
    admin = HttpBrowser(deployment.url)
    assert admin.open("/").heading == "Sign in"
    assert admin.press("Sign in", email=ADA, password=PASSWORD).heading == "Accounts"
    admin.follow("Imported Clients")
    assert admin.page.url.endswith(ic(HARBOUR))

    admin.follow("Manual Add")
    refused = admin.press("Save", company_name="Nordwind Reisen", email="info@nordwind")
    assert refused.status == 422
    assert refused.typed == {"company_name": "Nordwind Reisen", "email": "info@nordwind"}
    assert refused.with_focus == "email"
    saved = admin.press("Save", email=nora)
    assert saved.url.endswith(ic(HARBOUR))
    assert words(saved.row(nora)).startswith("Nordwind Reisen info@nordwind.test Invite Sent")

    invitation = mailboxes.wait_for(nora)
    assert invitation.link.startswith(f"{deployment.url}/invitations/")
    client = HttpBrowser(deployment.url)
    assert client.open(invitation.link).heading == "Nordwind Reisen is invited to Harbour Tours"
    assert client.press("Register", name="Nora Wind", password="short").status == 422
    assert client.press("Register", password=INVITEES_PASSWORD).heading == "Verify your email address"
    assert status_of(admin, nora).startswith("Invite Sent")

    assert client.open(mailboxes.wait_for(nora, count=2).link).heading == "Verify your email address"
    assert client.press("Verify my email address").heading == "You've joined Harbour Tours"
    assert status_of(admin, nora).startswith("Joined")
    assert not admin.page.row(nora).select("button")

    client.follow("Sign in")
    landed = client.press("Sign in", email=nora, password=INVITEES_PASSWORD)
    assert landed.url.endswith("/portals")
    assert "You are in Harbour Tours" in landed.text


def test_an_admin_resends_and_removes(deployment: Deployment, a_worker: None, mailboxes: MailServer) -> None:
    email = "post@berghof.test"
    admin, client = signed_in(deployment.url), HttpBrowser(deployment.url)
    add(admin, email, "Berghof")
    first = mailboxes.wait_for(email)
    admin.open(ic(HARBOUR))
    admin.press("Resend Invite", within=admin.page.row(email))
    second = mailboxes.wait_for(email, count=2)
    replaced = client.open(first.link)
    assert (replaced.status, replaced.heading) == (410, "This invitation was replaced by a newer one")
    assert client.open(second.link).status == 200

    admin.follow("Remove", within=admin.page.row(email))
    assert "Berghof" in admin.page.text
    assert email in admin.page.text
    admin.press("Remove client")
    assert email not in admin.page.text
    withdrawn = client.open(second.link)
    assert (withdrawn.status, withdrawn.heading) == (410, "This invitation was withdrawn")


def test_opening_the_link_changes_nothing_however_often(
    deployment: Deployment, a_worker: None, admin: HttpBrowser, mailboxes: MailServer
) -> None:
    """Mail scanners open every link, and some do it for days."""
    email = "scanned@client.test"
    add(admin, email)
    link = mailboxes.wait_for(email).link
    wait_until(lambda: set(deliveries(deployment, email)) == {MailState.SENT}, "the mail is marked as sent")
    before = deployment.app_driver.dump()
    for _ in range(10):
        assert HttpBrowser(deployment.url).open(link).status == 200
        assert HttpBrowser(deployment.url).open(link, method="HEAD").status == 200
    assert deployment.app_driver.dump() == before
    assert email in before


def test_an_account_that_exists_keeps_its_password(
    deployment: Deployment, a_worker: None, admin: HttpBrowser, mailboxes: MailServer
) -> None:
    email = "otto@client.test"
    deployment.app_driver.do(make_user, email, "Otto Lind", password=OTHER_PASSWORD)
    add(admin, email, "Otto Ltd")
    link = mailboxes.wait_for(email).link
    thief = HttpBrowser(deployment.url)
    shown = thief.open(link)
    assert "already has an account" in shown.text
    assert "name" not in shown.typed
    form = {"csrf_token": shown.csrf_token, "name": "A Thief", "password": INVITEES_PASSWORD}
    registered = thief.open(link, form=form)
    assert registered.status == 409
    assert "Its password was not changed" in registered.text

    thief.open("/login")
    assert thief.press("Sign in", email=email, password=INVITEES_PASSWORD).status == 422
    otto = signed_in(deployment.url, email, OTHER_PASSWORD)
    assert status_of(admin, email).startswith("Invite Sent")
    otto.open(link)
    assert "You are in Harbour Tours" in otto.press("Accept").text
    assert status_of(admin, email).startswith("Joined")


def test_neither_database_nor_logs_hold_a_link_that_works_or_a_password(
    deployment: Deployment, a_worker: None, admin: HttpBrowser, mailboxes: MailServer
) -> None:
    opened, registered = "opened@client.test", "registered@client.test"
    for email in (opened, registered):
        add(admin, email)
    client = HttpBrowser(deployment.url)
    client.open(mailboxes.wait_for(registered).link)
    client.press("Register", name="Rita", password="a phrase that is nowhere else")
    client.open("/password-reset")
    client.press("Send the link", email=ADA)
    links = [mailboxes.wait_for(email, count).link for email, count in [(opened, 1), (registered, 2), (ADA, 1)]]
    for link in links:
        assert client.open(link).status == 200

    secrets = [PASSWORD, "a phrase that is nowhere else", deployment.settings["SECRET_KEY"]]
    for link in links:
        token = link.rpartition("/")[2]
        secrets += [token, token.rpartition(".")[2]]
    everything = "\n".join([deployment.app_driver.dump(), deployment.logs, raw_files_of(deployment)])
    assert [secret for secret in secrets if secret in everything] == []
    for expected in (opened, registered, "worker: started", "Booting worker"):
        assert expected in everything


def raw_files_of(deployment: Deployment) -> str:
    """What SQLite has on disk, deleted rows and the write-ahead log included."""
    return "\n".join(bytes_of(file).decode("latin-1") for file in deployment.folder.glob("*.sqlite3*"))


# The worker


@on_both
def test_a_worker_that_is_told_to_stop_finishes_what_is_under_way_and_leaves_the_rest(
    deployment: Deployment, no_worker: None, admin: HttpBrowser, mailboxes: MailServer
) -> None:
    deployment.flask("jobs", "run", "flush-outbox")  # what tells the admin of a sign-in
    emails = [f"stop-{n}@client.test" for n in range(3)]
    for email in emails:
        add(admin, email)
    with mailboxes.answering_nobody():
        worker = deployment.start_worker(OUTBOX_CONNECTIONS="1")
        assert mailboxes.holding.wait(PATIENCE_SECONDS)
        worker.tell_to_stop()
        wait_until(lambda: "worker: finishing" in worker.said, "the worker has heard it")
        assert worker.is_running
    assert worker.exit_code() == 0
    assert "Traceback" not in worker.said
    assert [len(mailboxes.to(email)) for email in emails] == [1, 0, 0]
    assert deliveries(deployment, *emails) == [MailState.SENT, MailState.QUEUED, MailState.QUEUED]

    with deployment.worker():
        for email in emails:
            mailboxes.wait_for(email)
        wait_until(lambda: set(deliveries(deployment, *emails)) == {MailState.SENT}, "all are marked as sent")
    assert [len(mailboxes.to(email)) for email in emails] == [1, 1, 1]


@on_both
def test_two_workers_send_each_mail_once(deployment: Deployment, no_worker: None, mailboxes: MailServer) -> None:
    emails = [f"twice-{n}@client.test" for n in range(20)]
    sending = {"OUTBOX_INTERVAL_SECONDS": "0.05", "OUTBOX_CONNECTIONS": "2"}
    with deployment.worker(**sending), deployment.worker(**sending):
        with mailboxes.answering_nobody():
            deployment.app_driver.do(import_file, HARBOUR, *emails)
            # Of a portal whose mails are not answered, each has one in its hands: half of its connections.
            wait_until(lambda: in_hands(deployment) == 2, "both workers have a mail in their hands")
        wait_until(lambda: set(deliveries(deployment, *emails)) == {MailState.SENT}, "all are marked as sent")
    assert [len(mailboxes.to(email)) for email in emails] == [1] * 20
    assert [mail.attempts for mail in deployment.app_driver.mails() if mail.recipient in emails] == [1] * 20


def in_hands(deployment: Deployment) -> int:
    query = select(func.count()).where(OutboxMail.state == MailState.SENDING)
    return int(deployment.app_driver.do(lambda: db.session.scalar(query)))


def test_a_mail_waits_for_a_mail_server_that_is_down_and_says_why(
    deployment: Deployment, no_worker: None, admin: HttpBrowser
) -> None:
    email = "patient@client.test"
    controller, _ = smtp.start()
    port = controller.port
    controller.stop(no_assert=True)
    with deployment.worker(MAIL_PORT=str(port)):
        add(admin, email)
        wait_until(lambda: "The mail server" in status_of(admin, email), "the row says why")
        assert status_of(admin, email).startswith("Invite Sent Waiting to be sent")

        controller, mailboxes = smtp.start(port)
        try:
            mailboxes.wait_for(email, seconds=30)
            wait_until(lambda: deliveries(deployment, email) == [MailState.SENT], "it is marked as sent")
            assert "Link expires" in status_of(admin, email)
        finally:
            controller.stop(no_assert=True)


def test_web_processes_can_run_the_jobs_themselves(
    deployment: Deployment, no_worker: None, mailboxes: MailServer
) -> None:
    email = "embedded@client.test"
    with deployment.web(SCHEDULER="embedded") as url:
        add(signed_in(url), email)
        mailboxes.wait_for(email)
        wait_until(lambda: deliveries(deployment, email) == [MailState.SENT], "it is marked as sent")
    assert len(mailboxes.to(email)) == 1


def test_web_processes_that_run_the_jobs_begin_no_further_mail_when_they_are_told_to_stop(
    deployment: Deployment, no_worker: None, mailboxes: MailServer
) -> None:
    # Two processes send them in four seconds, and have heard it long before.
    emails = [f"embedded-stop-{n}@client.test" for n in range(40)]
    deployment.app_driver.do(import_file, HARBOUR, *emails)
    with mailboxes.taking_their_time(0.2), deployment.web(SCHEDULER="embedded", OUTBOX_CONNECTIONS="1"):
        wait_until(lambda: MailState.SENT in deliveries(deployment, *emails), "the first are sent")
    left = deliveries(deployment, *emails)
    assert set(left) == {MailState.SENT, MailState.QUEUED}
    with deployment.worker():
        wait_until(lambda: set(deliveries(deployment, *emails)) == {MailState.SENT}, "all are marked as sent")
    sent = Counter(mail.recipient for mail in mailboxes.mails)
    assert [sent[email] for email in emails] == [1] * len(emails)


# What is seen of them


def test_a_worker_ends_that_is_told_to_as_soon_as_it_has_started(deployment: Deployment, no_worker: None) -> None:
    for fresh in (True, False):
        with deployment.worker(fresh=fresh) as worker:
            pass
        assert worker.exit_code() == 0


def test_the_lines_of_web_and_worker_are_json(deployment: Deployment, a_worker: None, admin: HttpBrowser) -> None:
    add(admin, "logged@client.test")
    lines = [json.loads(line) for line in deployment.logs.splitlines() if line.startswith("{")]
    assert {"request", "worker: started"} <= {line["event"] for line in lines}
    assert all(line["time"] and line["level"] for line in lines)
    assert "clients.add" in {line.get("endpoint") for line in lines}


# A wrong setting


@pytest.mark.parametrize(
    "command, wrong, complaint",
    [
        ([*GUNICORN, "-b", "127.0.0.1:0"], {"SCHEDULER": "sometimes"}, "SCHEDULER must be 'embedded' or 'off', but"),
        ([*FLASK, "worker"], {"SECRET_KEY": ""}, "SECRET_KEY is not set."),
        ([*FLASK, "db", "upgrade"], {"DATABASE_URL": "mysql://localhost/x"}, "DATABASE_URL names 'mysql', which"),
    ],
    ids=["gunicorn", "worker", "upgrade"],
)
def test_a_wrong_setting_stops_the_start_with_one_clear_line(
    tmp_path: Path, command: list[str], wrong: dict[str, str], complaint: str
) -> None:
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/never-made.sqlite3",
        "SECRET_KEY": "a key for tests and nothing else",
    }
    process = Process(command, settings | wrong, tmp_path / "log")
    assert process.exit_code(30) == 3
    (only,) = process.said.splitlines()
    assert only.startswith(f"Cannot start: {complaint}")
