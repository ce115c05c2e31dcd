"""Signs in over https as a browser does, invites a client of the first portal, and opens the link of its mail.

python invite_first_client.py HOST ADMIN PASSWORD_FILE MAILDIR
"""

from __future__ import annotations

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
from urllib.request import HTTPCookieProcessor, HTTPSHandler, build_opener

CLIENT = "info@nordwind.example"
SECONDS = 60


def main(host: str, admin: str, password_file: str, maildir: str) -> None:
    # The certificate is Debian's self-signed one.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    browser = build_opener(HTTPSHandler(context=context), HTTPCookieProcessor(CookieJar()))

    def page(url: str, **fields: str) -> tuple[str, str]:
        with browser.open(url, urlencode(fields).encode() if fields else None, timeout=30) as answer:
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
    mail = _wait_for_mail(Path(maildir))
    print(f"mail: {mail['subject']!r} to {mail['to']} from {mail['from']}")
    (link,) = re.findall(rf"^https://{re.escape(host)}/invitations/\S+$", mail.get_body(("plain",)).get_content(), re.M)
    _, text = page(link)
    assert "Nordwind" in text or CLIENT in text
    print("its link opens the registration")


def _wait_for_mail(folder: Path):
    end = time.monotonic() + SECONDS
    parser = BytesParser(policy=policy.default)
    while time.monotonic() < end:
        for message in mailbox.Maildir(folder) if folder.exists() else ():
            return parser.parsebytes(message.as_bytes())
        time.sleep(0.2)
    sys.exit(f"No mail within {SECONDS} s.")


if __name__ == "__main__":
    main(*sys.argv[1:])
