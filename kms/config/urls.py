"""The routes of the server: every edge hung in its place."""

from kms.api import views

urlpatterns = views.urlpatterns()
handler404 = "kms.api.views.unknown"
handler500 = "kms.api.views.unknown"
