"""The project as a Django app: its commands and checks are found, and the token is connected to the keystore."""

from __future__ import annotations

from django.apps import AppConfig


class KmsConfig(AppConfig):
    name = "kms"

    def ready(self) -> None:
        from accounts import row_seals
        from kms.config import checks  # noqa: F401 - registers the system checks
        from kms.config.composition import cryptographic_module, wire
        from kms.objects import keystore
        from kms.operations import wire_form
        from kms.operations.row_key import row_key

        keystore.install(cryptographic_module)
        row_seals.install(row_key)
        wire_form.install(wire)
