"""Apps: the programs that use keys, how they prove who they are, and what they may do."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from kms.console.apps import detail, keys, listing, making, tokens
from kms.console.screens import Screen

_ONE = "apps/<uuid:app_id>"
SCREENS: tuple[Screen, ...] = (
    Screen("apps", "apps", _("Apps"), listing.show),
    Screen("new-app", "apps/new", _("New app"), making.show, making.create),
    Screen("app", _ONE, _("App"), detail.show),
    Screen("edit-app", f"{_ONE}/edit", _("Change an app"), detail.edit, detail.save),
    Screen("app-group", f"{_ONE}/group", _("Permissions in a group"), detail.show_place, detail.save_place),
    Screen("app-credential", f"{_ONE}/credential", _("Credential"), keys.show, keys.reveal),
    Screen("regenerate-app", f"{_ONE}/regenerate", _("New API key"), keys.ask_new, keys.regenerate),
    Screen("app-method", f"{_ONE}/method", _("How the app proves itself"), keys.show_method, keys.change_method),
    Screen("app-token", f"{_ONE}/token", _("Try a token"), tokens.show, tokens.test),
    Screen("delete-app", f"{_ONE}/delete", _("Delete an app"), detail.ask_delete, detail.delete),
)
