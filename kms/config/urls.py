"""The routes of the server: every edge hung in its place."""

from kms.api import views

urlpatterns = views.urlpatterns()
handler400 = "kms.api.views.malformed"
handler404 = "kms.api.views.unknown"
handler500 = "kms.api.views.broken"
