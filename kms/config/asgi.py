"""What the server process serves: the lean edge in front of Django."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kms.config.settings")

django_application = get_asgi_application()

from django.conf import settings  # noqa: E402 - after Django is set up

from kms.api.lean import LeanEdge  # noqa: E402 - after Django is set up
from kms.console.urls import open_paths  # noqa: E402 - after Django is set up

application = LeanEdge(django_application, settings.KEYSTEAD.max_body, open_paths())
