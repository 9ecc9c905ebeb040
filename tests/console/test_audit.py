"""The record in the browser: followed live, each entry verified by the page itself, and handed over to an auditor."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route

from accounts.clock import clock
from kms.audit.entry import entry_id
from kms.audit.models import AuditRecord, Sealing
from kms.audit.sealer import Sealer
from kms.objects import keystore
from kms.operations.record_key import record_signer
from tests.console.looks import looked_at
from tests.kit.browser import Person
from tests.kit.tenants import Tenant, new_tenant

Arrive = Callable[..., Person]


def seal() -> None:
    """All that is committed, with a heartbeat."""
    Sealing.objects.update(heartbeat_at=None)
    sealer = Sealer(keystore.deployment_id(), record_signer)
    while sealer.turn(clock.now()):
        pass


def latest(tenant: Tenant, action: str) -> str:
    found = AuditRecord.objects.filter(account_id=tenant.account.id, action=action).latest("sequence")
    return str(entry_id(found.sequence))


@pytest.fixture
def tenant(installation: None) -> Tenant:
    return new_tenant()


def test_an_entry_is_verified_by_the_page_and_the_seal_by_the_table(tenant: Tenant, person: Arrive) -> None:
    tenant.key(name="archive key")
    seal()
    auditor = person(tenant.alice)
    page = auditor.open("/audit?category=ADMINISTRATIVE")
    page.locator("[data-seal-badge][data-tone=ok]").wait_for()
    page.get_by_role("link", name="Created a security object").first.click()
    page.locator('[data-verdict="verified"]').wait_for()
    assert page.locator("[data-step][data-done]").count() == 4
    assert page.locator("[data-picture] rect").count() > 1
    tenant.key(name="another key")
    seal()
    page.goto(f"/audit/{latest(tenant, 'object.create')}")
    page.locator('[data-verdict="verified"]').wait_for()
    assert "another key" in page.locator(".code").first.inner_text()
    auditor.at_ease()


def test_one_changed_byte_is_said_loudly(tenant: Tenant, person: Arrive) -> None:
    tenant.key(name="archive key")
    seal()
    auditor = person(tenant.alice, ignore_https_errors=True)  # the driver fetches the page, not the browser
    one = latest(tenant, "object.create")

    def tampered(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("archive key", "archive kez"))

    auditor.page.route(f"**/audit/{one}", tampered)
    page = auditor.open(f"/audit/{one}")
    page.locator('[data-verdict="failed"]').wait_for()
    assert page.get_by_text("do not lead to the root that was signed").is_visible()
    auditor.at_ease()


def test_another_history_and_another_key_are_noticed(tenant: Tenant, person: Arrive) -> None:
    seal()
    auditor = person(tenant.alice)
    page = auditor.open("/audit")
    page.locator("[data-seal-badge][data-tone=ok]").wait_for()
    page.evaluate(
        """() => {
        const known = JSON.parse(localStorage.getItem('keystead-record'));
        localStorage.setItem('keystead-record', JSON.stringify({...known, root: btoa('x'.repeat(32))}));
    }"""
    )
    page.goto("/audit/record")
    page.locator("[data-seal-badge][data-tone=danger]").wait_for()
    page.get_by_role("button", name="Forget what this browser saw").click()
    page.locator("[data-seal-badge][data-tone=ok]").wait_for()
    page.evaluate(
        """() => {
        const known = JSON.parse(localStorage.getItem('keystead-record'));
        localStorage.setItem('keystead-record', JSON.stringify({...known, size: known.size + 1000}));
    }"""
    )
    page.goto("/audit/record")
    page.locator("[data-seal-badge][data-tone=danger]").wait_for()
    page.evaluate(
        """() => {
        const known = JSON.parse(localStorage.getItem('keystead-record'));
        localStorage.setItem('keystead-record', JSON.stringify({...known, key: 'other'}));
    }"""
    )
    page.goto("/audit/record")
    page.get_by_text("not the one that this browser saw before").wait_for()
    auditor.at_ease()


def test_what_is_new_comes_in_by_itself_and_filters_hold(tenant: Tenant, person: Arrive) -> None:
    auditor = person(tenant.alice)
    page = auditor.open("/audit?category=ADMINISTRATIVE")
    page.get_by_role("link", name="Follow live").click()
    rows = page.locator("tbody tr:not([hidden])")
    rows.first.wait_for()
    before = rows.count()
    tenant.key(name="made while looking")
    page.locator("tr.fresh", has_text="made while looking").first.wait_for()
    assert rows.count() >= before + 1
    page.goto("/audit?actor=nobody-is-called-so")
    assert page.get_by_text("No entries like that").is_visible()
    page.goto("/audit?category=RUBBISH")
    assert page.get_by_text("Select a valid choice").is_visible()
    auditor.at_ease()


def test_the_files_of_a_period_verify_offline(tenant: Tenant, person: Arrive, tmp_path: Path, axe: str) -> None:
    tenant.key(name="archive key")
    seal()
    auditor = person(tenant.alice)
    page = auditor.open("/audit/export")
    page.get_by_role("button", name="Show the report here").click()
    page.get_by_text("What the period comes to").wait_for()
    looked_at(page, axe, "audit-figures")
    files = {"Entries with their proof": "keystead_verify.py", "Signed report": "keystead_report.py"}
    for button, program in files.items():
        with page.expect_download() as waiting:
            page.get_by_role("button", name=button).click()
        folder = tmp_path / program
        zipfile.ZipFile(waiting.value.path()).extractall(folder)
        (evidence,) = [each for each in folder.iterdir() if each.is_dir()]
        assert "archive key" in (evidence / "entries.jsonl").read_text()
        bundle = ["bundle"] if program == "keystead_verify.py" else []
        command = [sys.executable, program, *bundle, evidence.name, "--key", "verifier.key"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    auditor.at_ease()
