"""What somebody does who has never seen the console, on a server as `make run` starts it, with three colleagues.

They sign in with the printed password, protect the sign-in with a passkey, invite the colleagues, make a group, an app
and a master key, guard the key with two of three, ask for its rotation, have it approved by two, and hand an auditor an
export that the auditor's own program verifies. Everything by what the pages say; the server is asked nothing else.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.server import RunningServer, server_for
from tests.kit.browser import EXECUTABLE, Person, chromium

pytestmark = [
    pytest.mark.skipif(not Path(EXECUTABLE).exists(), reason=f"NO BROWSER: {EXECUTABLE} is not installed"),
    pytest.mark.timeout(400),
]

COLLEAGUES = ("bea@example.org", "carl@example.org", "dora@example.org")
PASSWORD = "seven tall giraffes drink 12 lakes"
GROUP, APP, KEY = "Payments", "payment service", "payments master key"
_MAIL_SECONDS = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with server_for("console") as started:
        yield started


@pytest.fixture(scope="module")
def browser(server: RunningServer) -> Iterator[Browser]:
    with chromium(server.data / "tls" / "server.pem") as started:
        yield started


class Colleague(Person):
    """Somebody at a browser with a passkey of the machine."""

    def protect(self, password: str) -> None:
        """Add a passkey, as the first of the first steps says."""
        self.plug_in()
        page = self.open("/profile/factors")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Unlock").click()
        page.locator("form[data-webauthn=create] input[type=text]").fill("this machine")
        page.get_by_role("button", name="Add the key").click()
        expect(page.get_by_role("main")).to_contain_text("recovery codes")


def test_a_key_is_guarded_rotated_and_accounted_for(server: RunningServer, browser: Browser, tmp_path: Path) -> None:
    boss = Colleague.at(browser, server.origin, accept_downloads=True)
    first_sign_in(boss.page, server)
    boss.protect(server.password)
    colleagues = [joined(browser, boss, server, email) for email in COLLEAGUES]
    group_app_and_key(boss.page)
    guard(boss.page)
    ask_for_rotation(boss.page)
    for colleague in colleagues[:2]:
        approve(colleague.page)
    rotated(boss.page)
    verified(export(boss.page, tmp_path), tmp_path)
    nothing_is_wrong(boss.page)
    for person in (boss, *colleagues):
        person.at_ease()
        person.leave()


def nothing_is_wrong(page: Page) -> None:
    page.goto("/settings/server")
    expect(page.get_by_text("Everything works.")).to_be_visible()


def sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dashboard")


def first_sign_in(page: Page, server: RunningServer) -> None:
    page.goto("/")
    sign_in(page, server.email, server.password)
    expect(page.get_by_text("First steps")).to_be_visible()


def joined(browser: Browser, boss: Colleague, server: RunningServer, email: str) -> Colleague:
    """Invited by a mail, which a server without a mail server writes into its output; and in, with a passkey."""
    page = boss.open("/users")
    page.get_by_role("link", name="Invite").first.click()
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Send the invitation").click()
    expect(page.get_by_role("main")).to_contain_text(email)
    colleague = Colleague.at(browser, server.origin)
    colleague.page.goto(invitation(server, email))
    colleague.page.get_by_label("password", exact=False).first.fill(PASSWORD)
    colleague.page.get_by_role("button", name="Accept the invitation").click()
    sign_in(colleague.page, email, PASSWORD)
    colleague.protect(PASSWORD)
    return colleague


def invitation(server: RunningServer, email: str) -> str:
    """The link of the mail to them."""
    until = time.monotonic() + _MAIL_SECONDS
    while time.monotonic() < until:
        found = re.search(
            rf"^To: {re.escape(email)}$.*?(https://\S+/accept-invitation#\S+)", server.output, re.M | re.S
        )
        if found is not None:
            return found[1]
        time.sleep(0.2)
    raise AssertionError(f"no mail to {email}")


def group_app_and_key(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="Groups").first.click()
    page.get_by_role("link", name="New group").first.click()
    page.get_by_role("textbox", name="Name", exact=True).fill(GROUP)
    page.get_by_role("button", name="Create the group").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(GROUP)
    page.goto("/apps/new")
    page.get_by_role("textbox", name="Name", exact=True).fill(APP)
    page.get_by_role("radio", name=GROUP).check()
    page.get_by_role("button", name="Make the app").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"API key of {APP}")
    page.goto("/objects/new")
    page.get_by_role("textbox", name="Name", exact=True).fill(KEY)
    page.get_by_role("radio", name=GROUP).check()
    page.get_by_role("button", name="Make the object").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(KEY)


def guard(page: Page) -> None:
    """Any two of the three colleagues, each with a second factor."""
    page.goto("/groups")
    page.get_by_role("link", name=GROUP).click()
    page.goto(page.url.rstrip("/") + "/quorum")
    for number, email in enumerate(COLLEAGUES, start=1):
        page.locator("[id='who-']").fill(email)
        page.locator("[id='who-']").press("Enter")
        expect(page.locator(".quorum-member")).to_have_count(number)
    page.locator("[id='n-']").fill("2")
    page.locator("input[name='factor-']").check()
    bea, carl, dora = COLLEAGUES
    expect(page.locator("#sentence")).to_have_text(
        f"Any 2 of {bea}, {carl} and {dora} must approve, each with a second factor."
    )
    page.get_by_role("button", name="Put in force").click()
    expect(page.get_by_role("main")).to_contain_text("must approve")


def ask_for_rotation(page: Page) -> None:
    page.goto("/objects")
    page.get_by_role("link", name=KEY).first.click()
    page.get_by_role("link", name="Rotate").first.click()
    expect(page.get_by_role("main")).to_contain_text("must approve")
    page.get_by_role("button", name="Rotate").first.click()
    page.wait_for_url("**/approvals/*")
    expect(page.get_by_role("main")).to_contain_text("others decide")


def approve(page: Page) -> None:
    page.goto("/approvals")
    page.get_by_role("link", name=KEY).first.click()
    page.get_by_role("button", name="Approve with your security key").click()
    expect(page.get_by_role("button", name="Approve with your security key")).to_have_count(0)


def rotated(page: Page) -> None:
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("Approved")
    page.goto("/objects")
    expect(page.get_by_role("link", name=KEY)).to_have_count(2)


def export(page: Page, folder: Path) -> Path:
    """The archive that the console hands over."""
    page.goto("/audit/export")
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name="Entries with their proof").click()
    path = folder / "record.zip"
    download.value.save_as(path)
    return path


def verified(archive: Path, folder: Path) -> None:
    """By the commands that the page says."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder / "given")
    (program,) = (folder / "given").rglob("keystead_verify.py")
    (key,) = (folder / "given").rglob("verifier.key")
    bundle = next(path.parent for path in (folder / "given").rglob("checkpoint*"))
    command = [sys.executable, str(program), "bundle", str(bundle), "--key", str(key)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
