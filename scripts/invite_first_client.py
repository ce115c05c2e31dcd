"""Signs in over https as a browser does, invites a client of the first portal, and opens the link of its mail. Then
imports a workbook with one more client, which its reader's own process has to be able to read there.

python invite_first_client.py HOST ADMIN PASSWORD_FILE MAILDIR
"""

from __future__ import annotations

import io
import mailbox
import re
import ssl
import sys
import time
from email import policy
from email.parser import BytesParser
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, HTTPSHandler, Request, build_opener
from uuid import uuid4

import xlsxwriter

CLIENT = "info@nordwind.example"
IN_WORKBOOK = "hello@blue-travel.example"
SECONDS = 60


def main(host: str, admin: str, password_file: str, maildir: str) -> None:
    # The certificate is Debian's self-signed one.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    browser = build_opener(HTTPSHandler(context=context), HTTPCookieProcessor(CookieJar()))

    def page(url: str, **fields: str) -> tuple[str, str]:
        with browser.open(url, urlencode(fields).encode() if fields else None, timeout=SECONDS) as answer:
            return answer.url, answer.read().decode()

    def token(text: str) -> str:
        return re.findall(r'name="csrf_token"[^>]*value="([^"]+)"', text)[0]

    _, sign_in = page(f"https://{host}/login")
    password = Path(password_file).read_text().strip()
    accounts, text = page(f"https://{host}/login", email=admin, password=password, csrf_token=token(sign_in))
    print(f"signed in: {accounts}")
    table = f"{accounts}/imported-clients"
    _, form = page(f"{table}/new")
    page(table, company_name="Nordwind Reisen", email=CLIENT, csrf_token=token(form))
    mail = _wait_for_mail(Path(maildir), CLIENT)
    print(f"mail: {mail['subject']!r} to {mail['to']} from {mail['from']}")
    (link,) = re.findall(rf"^https://{re.escape(host)}/invitations/\S+$", mail.get_body(("plain",)).get_content(), re.M)
    _, text = page(link)
    assert "Nordwind" in text or CLIENT in text
    print("its link opens the registration")
    page_with_form = page(f"{table}/new")[1]
    with browser.open(_upload(f"{table}/import", token(page_with_form), _workbook()), timeout=SECONDS) as answer:
        answer.read()
    print(f"a workbook was imported: mail to {_wait_for_mail(Path(maildir), IN_WORKBOOK)['to']}")


def _workbook() -> bytes:
    data = io.BytesIO()
    with xlsxwriter.Workbook(data) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["company_name", "email"])
        sheet.write_row(1, 0, ["Blue Travel", IN_WORKBOOK])
    return data.getvalue()


def _upload(url: str, csrf_token: str, data: bytes) -> Request:
    """The form with the file, as a browser posts it."""
    boundary = uuid4().hex
    fields = (
        ('name="csrf_token"', csrf_token.encode()),
        ('name="file"; filename="clients.xlsx"\r\nContent-Type: application/octet-stream', data),
    )
    parts = [f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + it for head, it in fields]
    body = b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()])
    return Request(url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def _wait_for_mail(folder: Path, recipient: str):
    end = time.monotonic() + SECONDS
    parser = BytesParser(policy=policy.default)
    while time.monotonic() < end:
        for message in mailbox.Maildir(folder) if folder.exists() else ():
            mail = parser.parsebytes(message.as_bytes())
            if mail["to"].addresses[0].addr_spec == recipient:
                return mail
        time.sleep(0.2)
    sys.exit(f"No mail to {recipient} within {SECONDS} s.")


if __name__ == "__main__":
    main(*sys.argv[1:])
