"""Chromium on the server's pages: what a page must not do is noted as it happens, and asked for at the end.

The driver runs an event loop in the test's own thread, in which Django refuses to touch the database unless it is told
that this is meant; ``chromium`` tells it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

# Without windows a context costs a quarter of what it does with them, so that one is taken where it is there.
_SHELL, _WITH_WINDOWS = "/usr/bin/chromium-headless-shell", "/usr/bin/chromium"
EXECUTABLE = _SHELL if Path(_SHELL).exists() else _WITH_WINDOWS
_WATCH = """window.__violations = [];
addEventListener('securitypolicyviolation', e => window.__violations.push(
    `${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`))"""


@contextmanager
def chromium(certificate: Path) -> Iterator[Browser]:
    """WebAuthn refuses a page whose certificate is overlooked, so ours is named."""
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "yes"
    arguments = ["--no-sandbox", f"--ignore-certificate-errors-spki-list={pin_of(certificate)}"]
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=arguments)
            yield browser
            browser.close()
    finally:
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        else:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


def pin_of(certificate: Path) -> str:
    """What Chromium calls the certificate by: its public key's SHA-256."""
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


@dataclass
class Person:
    """Somebody at a browser of their own. ``faults`` is what their pages did that no page may do."""

    context: BrowserContext
    origin: str
    page: Page
    faults: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, browser: Browser, origin: str, **options: Any) -> Self:
        context = browser.new_context(base_url=origin, **options)
        context.set_default_timeout(10_000)
        context.add_init_script(_WATCH)
        person = cls(context, origin, context.new_page())
        person.page.on("console", person._heard)
        person.page.on("pageerror", lambda error: person.faults.append(f"script error: {error}"))
        person.page.on("request", person._requested)
        return person

    def _heard(self, message: ConsoleMessage) -> None:
        # A page that is refused is an answer like any other; that the browser says so is no fault of the page.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.faults.append(f"{self.page.url}: {message.text}")

    def _requested(self, request: Request) -> None:
        wanted = urlsplit(request.url)
        if wanted.scheme in ("http", "https") and f"{wanted.scheme}://{wanted.netloc}" != self.origin:
            self.faults.append(f"{self.page.url} asked another host: {request.url}")

    def carry(self, token: str, user: Any) -> None:
        """A session that was made elsewhere, as the sign-in would leave it in the browser."""
        self.context.add_cookies(
            [
                {
                    "name": "__Host-session",
                    "value": f"{token}.{user}",
                    "url": self.origin,
                    "httpOnly": True,
                    "secure": True,
                }
            ]
        )

    def open(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def violations(self) -> list[str]:
        found: list[str] = self.page.evaluate("window.__violations ?? []")
        return found

    def at_ease(self) -> None:
        """Nothing that a page may not do has happened so far."""
        assert not self.faults
        assert not self.violations()

    def plug_in(self, **options: Any) -> None:
        """A new virtual authenticator for this page."""
        wanted = {
            "transport": "internal",
            "protocol": "ctap2",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
            **options,
        }
        session = self.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable")
        session.send("WebAuthn.addVirtualAuthenticator", {"options": wanted})

    def leave(self) -> None:
        self.context.close()
