"""The routes of the server: every edge hung in its place."""

from kms.api import views
from kms.console import urls

urlpatterns = [*views.urlpatterns(), *urls.urlpatterns()]
handler400 = "kms.api.views.malformed"
handler404 = "kms.console.errors.unknown"
handler500 = "kms.console.errors.broken"
