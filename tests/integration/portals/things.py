"""What has an id of its own in a portal: each maker adds one to a portal and returns its id."""

from __future__ import annotations

from itertools import count
from uuid import UUID

from sqlalchemy import select, update

from app.accounts.users import find_user
from app.db.transactions import transaction
from app.extensions import db
from app.models import ColleagueInvitation, OutboxMail, Role, WebhookDelivery, WebhookEndpoint, WebhookState
from app.portals.team import invite_colleague
from app.webhooks.endpoints import send_test
from tests.conftest import ALPINE, HARBOUR
from tests.support.factories import import_file, invite, make_member

ADMINS = {HARBOUR: "ada@harbour.test", ALPINE: "olaf@alpine.test"}

serial = count()


def an_address() -> str:
    return f"client-{next(serial)}@client.test"


def a_client(portal: str) -> str:
    return invite(portal, an_address(), actor=ADMINS[portal])


def an_account(portal: str) -> str:
    """One that has joined."""
    return str(make_member(portal, an_address(), "Joined Client", Role.CLIENT))


def an_import(portal: str) -> str:
    return import_file(portal, an_address(), actor=ADMINS[portal])


def a_mail(portal: str, client: str | None = None) -> str:
    """The mail of a client; of a new one if none is named."""
    client_id = UUID(client or a_client(portal))
    return str(db.session.scalar(select(OutboxMail.id).where(OutboxMail.client_id == client_id)))


def an_endpoint(portal: str) -> str:
    """One that wants nothing, so that no event changes what is compared."""
    address = f"https://203.0.114.1/{next(serial)}"
    with transaction() as session:
        endpoint = WebhookEndpoint(portal_id=portal, url=address, events=[], encrypted_secret="never opened")
        session.add(endpoint)
        session.flush()
        return str(endpoint.id)


def a_delivery(portal: str) -> str:
    endpoint_id = UUID(an_endpoint(portal))
    send_test(portal, endpoint_id)
    with transaction() as session:
        ours = WebhookDelivery.endpoint_id == endpoint_id
        session.execute(update(WebhookDelivery).where(ours).values(state=WebhookState.GIVEN_UP))
        return str(session.scalar(select(WebhookDelivery.message_id).where(ours)))


def a_member(portal: str) -> str:
    """Somebody who has been in the portal's team all along."""
    return str(make_member(portal, f"member-{next(serial)}@{portal}.test", "A Member", Role.STAFF))


def a_colleague(portal: str) -> str:
    actor, email = find_user(ADMINS[portal]), an_address()
    assert actor
    invite_colleague(portal, actor.id, email, Role.STAFF)
    return str(db.session.scalar(select(ColleagueInvitation.id).where(ColleagueInvitation.email == email)))


# What has an id of its own in a portal: its name in the URL map, and how the portal comes by one.
THINGS = {
    "member_id": a_member,
    "invitation_id": a_colleague,
    "client_id": a_client,
    "user_id": an_account,
    "import_id": an_import,
    "mail_id": a_mail,
    "endpoint_id": an_endpoint,
    "message_id": a_delivery,
}
