"""Invitees are spoken to in these languages; here is what their pages and mails say, and the links that lead there."""

from __future__ import annotations

import re

import pytest

from app.core.links import LinkClaim, LinkKind, make_url
from tests.conftest import ALPINE
from tests.support.app_driver import AppDriver
from tests.support.factories import invite

INVITEE = "info@nordwind.test"
NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}

# As the catalogs have it: subject, what to press, a page's heading, a fault, a dead link, the verification mail.
SAYS = {
    "de": {
        "subject": "Harbour Tours lädt Nordwind Reisen zum Buchungsportal ein",
        "accept": "Einladung annehmen",
        "days": "Die Einladung ist 7 Tage gültig",
        "heading": "Einladung von Harbour Tours für Nordwind Reisen",
        "short": "Das Passwort ist zu kurz: Verwenden Sie mindestens 12 Zeichen.",
        "no name": "Der Name fehlt. Geben Sie einen Namen mit höchstens 100 Zeichen ein.",
        "withdrawn": "Diese Einladung wurde zurückgezogen",
        "verify": "Harbour Tours: Bestätigen Sie Ihre E-Mail-Adresse",
        "verify it": "Meine E-Mail-Adresse bestätigen",
        "verified": "Willkommen bei Harbour Tours",
        "sign in": "Anmelden",
    },
    "fr": {
        "subject": "Harbour Tours invite Nordwind Reisen à rejoindre son portail de réservation",
        "accept": "Accepter l’invitation",
        "days": "L’invitation est valable 7 jours",
        "heading": "Nordwind Reisen : invitation à rejoindre Harbour Tours",
        "short": "Le mot de passe est trop court : utilisez au moins 12 caractères.",
        "no name": "Le nom est vide. Saisissez un nom de 100 caractères au maximum.",
        "withdrawn": "Cette invitation a été retirée",
        "verify": "Harbour Tours\u00a0: confirmez votre adresse e-mail",
        "verify it": "Confirmer mon adresse e-mail",
        "verified": "Vous avez rejoint Harbour Tours",
        "sign in": "Se connecter",
    },
    "es": {
        "subject": "Harbour Tours invita a Nordwind Reisen a su portal de reservas",
        "accept": "Aceptar la invitación",
        "days": "La invitación es válida durante 7 días",
        "heading": "Invitación de Harbour Tours para Nordwind Reisen",
        "short": "La contraseña es demasiado corta: utilice al menos 12 caracteres.",
        "no name": "El nombre está vacío. Escriba un nombre de 100 caracteres como máximo.",
        "withdrawn": "Esta invitación se ha retirado",
        "verify": "Harbour Tours: verifique su dirección de correo electrónico",
        "verify it": "Verificar mi dirección de correo",
        "verified": "Ya forma parte de Harbour Tours",
        "sign in": "Iniciar sesión",
    },
    "ar": {
        "subject": "دعوة من Harbour Tours إلى Nordwind Reisen للانضمام إلى بوابة الحجز",
        "accept": "قبول الدعوة",
        "days": "الدعوة صالحة لمدة 7 أيام",
        "heading": "دعوة من Harbour Tours إلى Nordwind Reisen",
        "short": "كلمة المرور قصيرة جدًا، والحد الأدنى لعدد أحرفها هو 12.",
        "no name": "الاسم فارغ. يرجى إدخال اسم لا يزيد على 100 حرف.",
        "withdrawn": "تم سحب هذه الدعوة",
        "verify": "تأكيد عنوان بريدك الإلكتروني لدى Harbour Tours",
        "verify it": "تأكيد عنوان بريدي الإلكتروني",
        "verified": "لقد انضممت إلى Harbour Tours",
        "sign in": "تسجيل الدخول",
    },
}
every_language = pytest.mark.parametrize("language", SAYS)
# Where nothing depends on the database, one will do.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def assert_in(language: str, html: str) -> None:
    """A page or a mail says what it is in, and which way it is read."""
    direction = "rtl" if language == "ar" else "ltr"
    found = re.search(r'<html lang="(\w+)" dir="(\w+)"', html)
    assert found
    assert found.groups() == (language, direction)


def verification_link(app_driver: AppDriver, email: str = INVITEE) -> str:
    user = app_driver.user(email)
    return str(app_driver.do(make_url, LinkKind.VERIFICATION, LinkClaim(str(user.id), user.verification_generation)))


def invite_to_alpine(email: str) -> None:
    invite(ALPINE, email, actor="olaf@alpine.test")
