"""The record: what happened, shown with the proof that it is what was written; and handed to an auditor."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from kms.console.audit import entry, export, listing
from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = (
    Screen("audit", "audit", _("Audit log"), listing.show),
    Screen("audit-record", "audit/record", _("Seal of the record"), entry.record),
    Screen("audit-export", "audit/export", _("Hand over to an auditor"), export.show, export.act),
    Screen("audit-entry", "audit/<uuid:entry_id>", _("Entry"), entry.show),
)
