"""Security objects: the table, one object with everything that belongs to it, and what is done to it."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from kms.console.objects import access, activity, bulk, detail, lifecycle, listing, rotation
from kms.console.screens import Screen

_ONE = "objects/<uuid:key_id>"
SCREENS: tuple[Screen, ...] = (
    Screen("objects", "objects", _("Security objects"), listing.show_list),
    Screen("objects-export", "objects/export", _("Security objects"), act=listing.export),
    Screen("objects-bulk", "objects/together", _("Security objects"), act=bulk.run),
    Screen("object", _ONE, _("Security object"), detail.show),
    Screen("object-edit", f"{_ONE}/edit", _("Change"), detail.edit, detail.save),
    Screen("object-certificate", f"{_ONE}/certificate", _("Certificate"), act=detail.public_half),
    Screen("object-versions", f"{_ONE}/versions", _("Versions and rotation"), rotation.show, rotation.act),
    Screen("object-access", f"{_ONE}/access", _("Access"), access.show),
    Screen("object-activity", f"{_ONE}/activity", _("Activity"), activity.show),
    *lifecycle.SCREENS,
)
