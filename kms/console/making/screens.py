"""New security objects, made or imported; trying out what a key does; showing what an object holds."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from kms.console.making import creation, importing, picking, revealing, trying
from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = (
    Screen("new-object", "objects/new", _("New security object"), creation.show, creation.create),
    Screen("check-object", "objects/new/check", _("New security object"), act=creation.check),
    Screen("import-object", "objects/import", _("Import a security object"), importing.show, importing.bring),
    Screen("try-object", "objects/<uuid:key_id>/try", _("Try a key"), trying.show, trying.try_it),
    Screen("reveal-object", "objects/<uuid:key_id>/reveal", _("Reveal"), revealing.show, revealing.reveal),
    *picking.SCREENS,
)
