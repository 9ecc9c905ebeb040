"""A real browser with a virtual authenticator (CDP) on a page of the server's own origin: create, get, and the API.

What the other tests write by hand, Chromium writes here: client data, attestation objects, ``toJSON()``.
"""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from playwright.sync_api import BrowserContext, sync_playwright

from accounts.models import FidoCredential
from kms.config.provision.tls import TlsFiles, ensure_certificates
from tests.kit.browser import pin_of
from tests.kit.factors import SHOW, Person, newcomer
from tests.kit.http import InProcessServer
from tests.kit.tenants import new_tenant

CHROMIUM = "/usr/bin/chromium"
pytestmark = pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="NO BROWSER: /usr/bin/chromium is not installed")

T = TypeVar("T")

CREATE = """async options => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    return (await navigator.credentials.create({publicKey})).toJSON();
}"""
GET = """async options => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    return (await navigator.credentials.get({publicKey})).toJSON();
}"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    made = TlsFiles(tmp_path_factory.mktemp("tls"))
    ensure_certificates(made, ["localhost"], now=datetime.now(UTC))
    return made


@pytest.fixture(scope="module")
def server(installation: None, files: TlsFiles) -> Iterator[InProcessServer]:
    from kms.config.asgi import application

    started = InProcessServer(application, ssl_certfile=str(files.certificate), ssl_keyfile=str(files.key))
    yield started
    started.close()


class Browser:
    """Chromium in a thread of its own: its driver runs an event loop, in which Django refuses to touch the database."""

    def __init__(self, profile: Path, *, pin: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._playwright = self._do(lambda: sync_playwright().start())
        self._context = self._do(lambda: self._launch(profile, pin))
        self._page = self._do(self._context.new_page)
        self._cdp = self._do(lambda: self._context.new_cdp_session(self._page))

    def _do(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result(timeout=60)

    def _launch(self, profile: Path, pin: str) -> BrowserContext:
        """WebAuthn refuses a page whose certificate is overlooked, so ours is named."""
        arguments = ["--no-sandbox", f"--ignore-certificate-errors-spki-list={pin}"]
        return self._playwright.chromium.launch_persistent_context(profile, executable_path=CHROMIUM, args=arguments)

    def visit(self, url: str) -> None:
        self._do(lambda: self._page.goto(url))

    def run(self, script: str, argument: Any) -> Any:
        return self._do(lambda: self._page.evaluate(script, argument))

    def plug_in(self, **options: Any) -> None:
        """A new virtual authenticator, and none of before."""
        wanted = {"transport": "usb", "protocol": "ctap2", "automaticPresenceSimulation": True, **options}
        self._do(lambda: self._cdp.send("WebAuthn.disable"))
        self._do(lambda: self._cdp.send("WebAuthn.enable"))
        self._do(lambda: self._cdp.send("WebAuthn.addVirtualAuthenticator", {"options": wanted}))

    def close(self) -> None:
        self._do(self._context.close)
        self._do(self._playwright.stop)
        self._thread.shutdown()


@pytest.fixture(scope="module")
def chromium(files: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("browser"), pin=pin_of(files.certificate))
    yield started
    started.close()


@pytest.fixture
def browser(chromium: Browser, server: InProcessServer) -> Browser:
    """On a page of the server's own origin."""
    chromium.visit(f"https://localhost:{server.port}/sys/v1/version")
    return chromium


@pytest.fixture
def person(server: InProcessServer, files: TlsFiles, settings: Any) -> Iterator[Person]:
    origin = f"https://localhost:{server.port}"
    settings.KEYSTEAD = replace(settings.KEYSTEAD, public_url=origin)
    context = ssl.create_default_context(cafile=str(files.ca))
    with httpx.Client(base_url=origin, verify=context, timeout=30) as client:
        yield newcomer(client, new_tenant())


KINDS: dict[str, dict[str, Any]] = {
    "a security key without a PIN": {},
    "a passkey of the machine": {
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
    },
    "a key that only knows U2F": {"protocol": "u2f"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_browser_enrols_a_key_and_logs_in_with_it(kind: str, person: Person, browser: Browser) -> None:
    browser.plug_in(**KINDS[kind])
    login = person.unlocked()
    made = browser.run(CREATE, login.enrolment())
    added = login.change(add_mfa_devices=[{"name": kind, "attestationResult": made}])
    assert added.status_code == 200, added.text
    row = FidoCredential.objects.get(user=person.user)
    assert row.transports == [KINDS[kind].get("transport", "usb")]
    for _ in range(2):
        other = person.session()
        assert not other.works()
        answer = browser.run(GET, other.challenge()["fido2_assertion_options"])
        assert other.post(f"{SHOW}/fido2", answer).status_code == 204
        assert other.works()
    row.refresh_from_db()
    assert row.sign_count > 0


def test_a_browser_makes_no_second_key_on_the_same_authenticator(person: Person, browser: Browser) -> None:
    browser.plug_in()
    login = person.unlocked()
    added = {"name": "key", "attestationResult": browser.run(CREATE, login.enrolment())}
    assert login.change(add_mfa_devices=[added]).status_code == 200
    with pytest.raises(Exception, match="InvalidStateError"):
        browser.run(CREATE, login.enrolment())


def test_a_browser_on_a_page_of_another_name_makes_no_key_for_us(person: Person, browser: Browser) -> None:
    browser.plug_in()
    options = person.unlocked().enrolment()
    options["rp"]["id"] = "kms.example.org"
    with pytest.raises(Exception, match="SecurityError"):
        browser.run(CREATE, options)
