"""The demo data: people and clients. All are invented; their addresses end in .example, which nobody can register."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

PASSWORD = "quiet boats at noon"
"""The password of all demo accounts. It is public, which does no harm: the demo serves only this machine."""


class Fate(Enum):
    """The state of an invitation when the demo begins."""

    WAITING = auto()
    DELAYED = auto()
    FAILED = auto()
    BOUNCED = auto()
    SENT = auto()
    DECLINED = auto()
    REGISTERED = auto()
    JOINED = auto()


@dataclass(frozen=True)
class Person:
    """Somebody with an account."""

    name: str
    email: str


@dataclass(frozen=True)
class Invitee:
    """A client company and its newest invitation, which was sent `days_ago` at `time` (UTC) after `resends` earlier
    ones.

    `after_hours` later `person` registered, the recipient declined or the mail came back, depending on `fate`.
    `reason` is the mail server's reply.
    """

    company: str
    email: str
    fate: Fate
    days_ago: int
    time: str = "00:00"
    resends: int = 0
    person: str = ""
    after_hours: float = 0
    reason: str = ""


@dataclass(frozen=True)
class DemoPortal:
    """A portal with its staff and the clients that its admin has invited."""

    id: str
    name: str
    admin: Person
    staff: tuple[Person, ...]
    invitees: tuple[Invitee, ...]


MIRA = Person("Mira Lindqvist", "mira@harbour.example")
SAM = Person("Sam Okafor", "sam@harbour.example")
ELENA = Person("Elena Moretti", "elena@harbour.example")

_REFUSED_RECIPIENT = "The mail server answered RCPT TO with: "
_REFUSED_MAIL = "The mail server answered DATA with: "

HARBOUR = DemoPortal(
    id="harbour",
    name="Harbour & Fjord Stays",
    admin=MIRA,
    staff=(SAM, ELENA),
    invitees=(
        # Today
        Invitee("Kestrel Walking Holidays", "hello@kestrel-walking.example", Fate.WAITING, 0),
        Invitee("Viajes Brisa del Sur", "reservas@brisadelsur.example", Fate.WAITING, 0),
        # Yesterday and the days before
        Invitee(
            "Nordwind Reisen GmbH",
            "kontakt@nordwind-reisen.example",
            Fate.DELAYED,
            1,
            "15:22",
            reason=_REFUSED_RECIPIENT + "451 4.7.1 Greylisting in action, please come back later",
        ),
        Invitee("桜トラベル株式会社", "info@sakura-travel.example", Fate.SENT, 1, "08:12"),
        Invitee("Atelier Voyages & Cie", "contact@atelier-voyages.example", Fate.SENT, 1, "13:47"),
        Invitee(
            "Sunrise Safaris (Pty) Ltd",
            "bookings@sunrise-safaris.example",
            Fate.FAILED,
            2,
            "09:31",
            reason=_REFUSED_RECIPIENT + "550 5.1.1 No such user here",
        ),
        Invitee("Østerbro Rejsebureau", "post@osterbro-rejser.example", Fate.SENT, 2, "10:05"),
        Invitee(
            "Ταξίδια Αιγαίο",
            "info@aigaio.example",
            Fate.REGISTERED,
            2,
            "11:40",
            person="Katerina Vlachou",
            after_hours=3.3,
        ),
        Invitee("O’Malley Coach Tours", "office@omalley-coaches.example", Fate.SENT, 3, "09:02"),
        Invitee(
            "Polaris Podróże Sp. z o.o.",
            "biuro@polaris-podroze.example",
            Fate.JOINED,
            3,
            "09:18",
            person="Agnieszka Wrona",
            after_hours=1.4,
        ),
        Invitee("مسافرت آسمان", "info@aseman-travel.example", Fate.SENT, 4, "12:26"),
        Invitee("Marigold Journeys Pvt. Ltd.", "desk@marigold-journeys.example", Fate.SENT, 4, "07:55", resends=1),
        Invitee(
            "Lagoon & Reef Travel",
            "agents@lagoon-reef.example",
            Fate.REGISTERED,
            5,
            "06:38",
            person="Talia Manoa",
            after_hours=19.5,
        ),
        Invitee("Tall Pines Retreats", "stay@tallpines.example", Fate.DECLINED, 5, "05:20", after_hours=26.5),
        # Links that end within a day or so
        Invitee("Casa Azul Turismo", "oi@casaazul-turismo.example", Fate.SENT, 6, "09:10"),
        Invitee("Höhenweg Touristik AG", "info@hoehenweg.example", Fate.SENT, 6, "14:33"),
        # Links that have ended
        Invitee("Blue Heron Expeditions", "crew@blueheron.example", Fate.SENT, 9, "10:21"),
        Invitee("Туристическая компания «Маяк»", "info@mayak-tour.example", Fate.SENT, 11, "08:44"),
        Invitee("Petit Train & Fils", "bonjour@petit-train.example", Fate.SENT, 16, "15:09", resends=1),
        Invitee("서울하늘여행사", "contact@seoulsky.example", Fate.SENT, 23, "05:58"),
        Invitee("Meridian Corporate Travel", "rfp@meridian-corporate.example", Fate.SENT, 34, "13:13", resends=2),
        # Mails that were refused, or came back
        Invitee(
            "Agenzia Viaggi Perla",
            "info@agenzia-perla.example",
            Fate.FAILED,
            8,
            "16:17",
            reason=_REFUSED_MAIL + "552 5.2.2 Mailbox full",
        ),
        Invitee(
            "Tundra Trails Oy",
            "myynti@tundra-trails.example",
            Fate.BOUNCED,
            3,
            "07:26",
            after_hours=0.1,
            reason="550 5.1.1 <myynti@tundra-trails.example>: Recipient address rejected: User unknown",
        ),
        # Joined, over ten weeks
        Invitee(
            "Fjordline Reiser AS",
            "booking@fjordline-reiser.example",
            Fate.JOINED,
            5,
            "08:20",
            person="Ingrid Solheim",
            after_hours=5.1,
        ),
        Invitee(
            "Lotus Gate Travel 旅行社",
            "sales@lotusgate.example",
            Fate.JOINED,
            8,
            "03:52",
            person="Lin Meiyu",
            after_hours=26.2,
        ),
        Invitee(
            "Compass & Co.",
            "team@compass-and-co.example",
            Fate.JOINED,
            12,
            "11:15",
            person="Priya Nair",
            after_hours=0.6,
        ),
        Invitee(
            "Vilagio Viagens Lda.",
            "geral@vilagio.example",
            Fate.JOINED,
            15,
            "14:02",
            resends=1,
            person="Duarte Salgueiro",
            after_hours=47.8,
        ),
        Invitee(
            "Alpenblick Busreisen",
            "info@alpenblick-bus.example",
            Fate.JOINED,
            19,
            "09:49",
            person="Franziska Huber",
            after_hours=2.9,
        ),
        Invitee(
            "Savanna Sky Tours",
            "ops@savannasky.example",
            Fate.JOINED,
            24,
            "07:31",
            person="Wanjiru Kamau",
            after_hours=73.4,
        ),
        Invitee(
            "Čarovný Svět s.r.o.",
            "info@carovny-svet.example",
            Fate.JOINED,
            27,
            "12:08",
            person="Tereza Malíková",
            after_hours=8.7,
        ),
        Invitee(
            "Three Capes Travel",
            "bookings@threecapes.example",
            Fate.JOINED,
            31,
            "05:43",
            person="Hannah Brandt",
            after_hours=11.3,
        ),
        Invitee(
            "Reisewerk Nord eG",
            "mail@reisewerk-nord.example",
            Fate.JOINED,
            37,
            "10:36",
            person="Jörn Petersen",
            after_hours=1.1,
        ),
        Invitee(
            "Bosphorus Bridge Turizm",
            "satis@bosphorus-bridge.example",
            Fate.JOINED,
            42,
            "08:57",
            resends=1,
            person="Defne Arslan",
            after_hours=120.5,
        ),
        Invitee(
            "Île & Large Voyages",
            "resa@ile-et-large.example",
            Fate.JOINED,
            48,
            "13:28",
            person="Camille Tanguy",
            after_hours=4.2,
        ),
        Invitee(
            "Golden Kite Holidays",
            "hello@goldenkite.example",
            Fate.JOINED,
            53,
            "04:19",
            person="Arjun Mehta",
            after_hours=29.6,
        ),
        Invitee(
            "Tern Rock Charters",
            "charter@ternrock.example",
            Fate.JOINED,
            59,
            "15:41",
            person="Morag Sinclair",
            after_hours=17.9,
        ),
        Invitee(
            "Duna Utazási Iroda Kft.",
            "iroda@duna-utazas.example",
            Fate.JOINED,
            64,
            "09:24",
            person="Eszter Balogh",
            after_hours=6.8,
        ),
        Invitee(
            "Pacific Lantern Travel",
            "agents@pacific-lantern.example",
            Fate.JOINED,
            69,
            "02:37",
            person="Kenji Arakawa",
            after_hours=14.4,
        ),
        Invitee(
            "Quinta do Vale Turismo",
            "reservas@quintadovale.example",
            Fate.JOINED,
            70,
            "16:05",
            person="Inês Carvalhal",
            after_hours=2.2,
        ),
    ),
)

ALPINE = DemoPortal(
    id="alpine",
    name="Alpine Quarter Hotels",
    admin=MIRA,
    staff=(Person("Lukas Steiner", "lukas@alpine.example"),),
    invitees=(
        Invitee("Edelweiss Gruppenreisen", "gruppen@edelweiss-reisen.example", Fate.SENT, 3, "10:54"),
        Invitee("Cordata Outdoor Srl", "ciao@cordata-outdoor.example", Fate.SENT, 12, "08:33"),
        # Has an account already, from the other portal.
        Invitee(
            "Compass & Co.",
            "team@compass-and-co.example",
            Fate.JOINED,
            6,
            "09:27",
            person="Priya Nair",
            after_hours=0.3,
        ),
        Invitee(
            "Snowline Travel Club",
            "club@snowline.example",
            Fate.JOINED,
            40,
            "11:02",
            person="Oliver Brandvold",
            after_hours=21.7,
        ),
    ),
)

PORTALS = (HARBOUR, ALPINE)
