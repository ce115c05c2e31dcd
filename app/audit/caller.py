"""Who makes the present call, and from where. The web layer and the commands say it; services never see the request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from app.models import ActorKind, Language

_SHOWN_OF_IPV4 = 24
_SHOWN_OF_IPV6 = 48


@dataclass(frozen=True)
class Actor:
    """Who acts. `user_id` is the account, if it is known."""

    kind: ActorKind
    user_id: int | None = None


NOBODY = Actor(ActorKind.NOBODY)


@dataclass(frozen=True)
class Caller:
    """Who makes a call. `actor` is asked when something is recorded, since it may be known only by then."""

    actor: Callable[[], Actor]
    network: str | None = None
    user_agent: str = ""
    """What the caller's browser says that it is."""
    language: Language = Language.ENGLISH
    """What the caller's browser asks for, as far as it is one of ours."""


_UNKNOWN = Caller(lambda: NOBODY)
_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def present_caller() -> Caller:
    """Who makes the present call. Nobody, unless somebody was set."""
    return _caller.get() or _UNKNOWN


def set_caller(caller: Caller | None) -> None:
    """From now on, this is who calls. For what has a beginning but no block, as a request; else use `acting_as`."""
    _caller.set(caller)


@contextmanager
def acting_as(kind: ActorKind) -> Iterator[None]:
    """Who calls during the block, from where the present caller is."""
    token = _caller.set(Caller(lambda: Actor(kind), present_caller().network))
    try:
        yield
    finally:
        _caller.reset(token)


def neighbourhood(address: str | None) -> str | None:
    """The /24 of an IPv4 address, the /48 of an IPv6 address: people know their own, and it names nobody.

    Also of a network, by its first address. None for a text that is neither.
    """
    try:
        ip = ip_address((address or "").partition("/")[0].partition("%")[0])
    except ValueError:
        return None
    if ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    shown = _SHOWN_OF_IPV4 if ip.version == 4 else _SHOWN_OF_IPV6
    return str(ip_network(f"{ip}/{shown}", strict=False))
