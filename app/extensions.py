"""The Flask extensions. They are created here once and bound to an app in `create_app`."""

from __future__ import annotations

from flask_compress import Compress
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from flask_wtf import CSRFProtect
from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase

from app.core.i18n import CatalogBabel


class Base(DeclarativeBase):
    """Base class of all models. Every constraint gets a name, so that migrations can refer to it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class _Session(Session):
    def close(self) -> None:
        """End the session, as at the end of each request.

        A connection that is lost by now is no error: the database has ended the transaction itself, and what it had
        answered still holds.
        """
        try:
            super().close()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise


db = SQLAlchemy(model_class=Base, session_options={"class_": _Session})
migrate = Migrate(render_as_batch=True)
csrf = CSRFProtect()
login = LoginManager()
# Session protection would check the browser's name and address at each request, and set the cookie anew when they
# have changed, only to mark the sign-in as not fresh. Nothing here asks whether a sign-in is fresh.
login.session_protection = None  # type: ignore[assignment]
babel = CatalogBabel()
compress = Compress()
