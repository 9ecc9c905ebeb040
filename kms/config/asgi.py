"""What the server process serves: the lean edge in front of Django."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kms.config.settings")

django_application = get_asgi_application()

from django.conf import settings  # noqa: E402 - after Django is set up
from django.utils.module_loading import import_string  # noqa: E402 - after Django is set up

from kms.api.lean import LeanEdge  # noqa: E402 - after Django is set up

# By name, as Django finds its routes: commands that start the server need not know what its pages are made with.
open_paths = import_string("kms.console.urls.open_paths")
application = LeanEdge(django_application, settings.KEYSTEAD.max_body, open_paths())
