"""A server with TLS in the test process, a real browser, and an account with something on every screen."""

from __future__ import annotations

import dataclasses
import shutil
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from playwright.sync_api import Browser

from accounts.principal import Principal
from kms.config.provision.tls import TlsFiles, ensure_certificates
from tests.console.world import World, new_world
from tests.kit.browser import EXECUTABLE, Person, chromium
from tests.kit.cast import bearer
from tests.kit.http import InProcessServer
from tests.kit.npm import installed

if shutil.which(EXECUTABLE) is None:
    pytest.skip(f"NO BROWSER: {EXECUTABLE} is not installed", allow_module_level=True)


@pytest.fixture(scope="package")
def server(installation: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from kms.config.asgi import application

    files = TlsFiles(tmp_path_factory.mktemp("tls"))
    ensure_certificates(files, ["localhost"], now=datetime.now(UTC))
    started = InProcessServer(application, ssl_certfile=str(files.certificate), ssl_keyfile=str(files.key))
    origin = f"https://localhost:{started.port}"
    before = django_settings.KEYSTEAD
    django_settings.KEYSTEAD = dataclasses.replace(before, public_url=origin)
    yield Site(origin, files)
    django_settings.KEYSTEAD = before
    started.close()


@dataclasses.dataclass(frozen=True)
class Site:
    """Where the console is, and what its certificate hangs on."""

    origin: str
    files: TlsFiles

    @property
    def trust(self) -> ssl.SSLContext:
        """For clients that are no browser."""
        return ssl.create_default_context(cafile=self.files.ca)


@pytest.fixture(scope="package")
def browser(server: Site) -> Iterator[Browser]:
    with chromium(server.files.certificate) as started:
        yield started


@pytest.fixture
def person(browser: Browser, server: Site) -> Iterator[Callable[..., Person]]:
    """People at browsers, signed in where a principal is given. Whatever they did, their pages kept to the rules."""
    there: list[Person] = []

    def arrive(who: Principal | None = None, **options: Any) -> Person:
        arrived = Person.at(browser, server.origin, **options)
        if who is not None:
            arrived.carry(bearer(who).removeprefix("Bearer "), who.id)
        there.append(arrived)
        return arrived

    yield arrive
    for each in there:
        each.leave()
    assert not [fault for each in there for fault in each.faults]


@pytest.fixture(scope="package")
def axe() -> str:
    """axe-core's source, which pages are looked at with (tests/console/looks.py)."""
    folder = installed(Path(__file__).parent, "console")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="package")
def world(installation: None, django_db_blocker: Any) -> World:
    """One account with something on every screen. Tests that change things make their own."""
    with django_db_blocker.unblock():
        return new_world()
