"""django-post-office with the same mails, set up as in its own quick start. Runs in its own virtual environment.

    python peer_post_office.py PORT FILE FOLDER [HOST-OF-POSTGRESQL NAME USER]

Each line on stdin queues the mails of FILE (`[[recipient, subject, text, html], …]`) or sends what is queued. It is
answered by a line of JSON, as in `flush_once.py`. All settings are at their defaults: five threads, batches of 100.
"""

# mypy: ignore-errors

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from time import monotonic

import django
from django.conf import settings


def main() -> None:
    port, file, folder = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    database: dict[str, object] = {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "peer.sqlite3"}
    if len(sys.argv) > 4:
        host, name, user = sys.argv[4:]
        database = {"ENGINE": "django.db.backends.postgresql", "HOST": host, "NAME": name, "USER": user}
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "post_office"],
        DATABASES={"default": database},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        EMAIL_BACKEND="post_office.EmailBackend",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=port,
        DEFAULT_FROM_EMAIL="no-reply@clients.harbour.test",
        SECRET_KEY="a key for measuring and nothing else",
        TEMPLATES=[
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True},
            {"BACKEND": "post_office.template.backends.post_office.PostOfficeTemplates", "APP_DIRS": True},
        ],
        USE_TZ=True,
    )
    django.setup()
    from django.core.management import call_command
    from post_office import mail
    from post_office.models import STATUS, Email

    logging.getLogger("post_office").setLevel(logging.WARNING)
    call_command("migrate", verbosity=0)
    mails = [
        {"recipients": recipient, "subject": subject, "message": text, "html_message": html}
        for recipient, subject, text, html in json.loads(file.read_text())
    ]
    print("{}", flush=True)
    for line in sys.stdin:
        if json.loads(line)["do"] == "queue":
            mail.send_many([dict(one) for one in mails])
            print("{}", flush=True)
            continue
        began = monotonic()
        mail.send_queued_mail_until_done(lockfile=str(folder / "peer"))
        ended = monotonic()
        assert not Email.objects.exclude(status=STATUS.sent).exists()
        print(json.dumps({"began": began, "ended": ended}), flush=True)


if __name__ == "__main__":
    main()
