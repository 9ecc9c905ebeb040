"""Django's settings, all of them, made from one Environment. Decides nothing about keys, users or rights."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import django

from kms.config.environment import CHECKOUT, Environment, read_environment
from kms.config.mail import TIMEOUT_SECONDS, mail_settings

KEYSTEAD: Environment = read_environment()

BASE_DIR = CHECKOUT
DEBUG = False
ALLOWED_HOSTS = [f"[{host}]" if ":" in host else host for host in KEYSTEAD.allowed_hosts]
ROOT_URLCONF = "kms.config.urls"
ASGI_APPLICATION = "kms.config.asgi.application"


def _secret_key() -> str:
    """The key from its file. Without one (a bare checkout) a random key for this process alone: commands such as
    `check` and `makemigrations` work. Nothing that outlives a process is signed with it."""
    try:
        return KEYSTEAD.secret_key_file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return secrets.token_urlsafe(64)


SECRET_KEY = _secret_key()

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.messages",
    "django_cotton.apps.SimpleAppConfig",
    "template_partials.apps.SimpleAppConfig",
    "accounts",
    "policies",
    "kms.objects",
    "kms.audit",
    "kms.config.apps.KmsConfig",
    "rest_framework",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates", Path(django.__file__).parent / "forms" / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
            ],
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    [
                        (
                            "django.template.loaders.cached.Loader",
                            ["django_cotton.cotton_loader.Loader", "django.template.loaders.filesystem.Loader"],
                        )
                    ],
                )
            ],
            "builtins": [
                "django.templatetags.i18n",
                "django_cotton.templatetags.cotton",
                "template_partials.templatetags.partials",
                "kms.console.templatetags.console",
            ],
        },
    }
]
FORM_RENDERER = "kms.console.forms.Renderer"
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"  # there are no sessions of Django's

# --- data ---------------------------------------------------------------------------------------------------------

_DATABASE = KEYSTEAD.database.as_django()
# Django's ASGI handler gives every request a thread of its own, so connections belong to the process, not to threads:
# a control-plane call takes one from here instead of opening one (8 ms). The group commit has its own beside them.
_POOL = {"min_size": 1, "max_size": 16, "timeout": 10}

DATABASES = {
    "default": {
        **_DATABASE,
        "OPTIONS": {**_DATABASE["OPTIONS"], "pool": _POOL},
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- who ----------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = [
    "accounts.passwords.Argon2id",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "accounts.passwords.LengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.passwords.GuessValidator"},
]

# --- mail ---------------------------------------------------------------------------------------------------------

_MAIL = mail_settings(KEYSTEAD)
EMAIL_BACKEND = _MAIL.backend
EMAIL_HOST, EMAIL_PORT = _MAIL.host, _MAIL.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _MAIL.username, _MAIL.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _MAIL.starttls, _MAIL.tls
EMAIL_TIMEOUT = TIMEOUT_SECONDS
DEFAULT_FROM_EMAIL = KEYSTEAD.mail_from

# --- the edge -----------------------------------------------------------------------------------------------------

DATA_UPLOAD_MAX_MEMORY_SIZE = KEYSTEAD.max_body
FILE_UPLOAD_HANDLERS: list[str] = []  # nothing is uploaded as a file, so nothing may reach a temporary one
APPEND_SLASH = False

SECURE_SSL_REDIRECT = False  # the process speaks one scheme (KEYSTEAD_LISTEN); there is nothing to redirect from
SECURE_HSTS_SECONDS = 31_536_000 if KEYSTEAD.listen.tls else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = False  # neighbours of the host's name are not ours to promise for
SECURE_HSTS_PRELOAD = False
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "no-referrer"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# What browsers see is the public address, whoever speaks TLS for it.
_PUBLIC = KEYSTEAD.public_url.startswith("https:")
SESSION_COOKIE_SECURE = _PUBLIC
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "__Host-csrf" if _PUBLIC else "csrf"
CSRF_COOKIE_SECURE = _PUBLIC
CSRF_COOKIE_HTTPONLY = True  # pages have the token in their forms
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [KEYSTEAD.public_url]
CSRF_FAILURE_VIEW = "kms.console.errors.not_from_here"

# Each with its reason; anything else that `check --deploy` says fails `make lint`.
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS for subdomains: see SECURE_HSTS_INCLUDE_SUBDOMAINS
    "security.W008",  # redirect to TLS: see SECURE_SSL_REDIRECT
    "security.W021",  # HSTS preload: a key server's name belongs in no browser's list
]

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],  # the corridor decides (kms.operations.executor), never a view
    "UNAUTHENTICATED_USER": None,
}

# --- time and language --------------------------------------------------------------------------------------------

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGE_CODE = "en-gb"

# --- what is said on standard error -------------------------------------------------------------------------------

# No request, body, header or query text: django.db.backends would log SQL with its values, and django.request a
# traceback with its locals under DEBUG. What happened to keys is in the audit log.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "{asctime} {levelname} {process:d} {name}: {message}",
            "style": "{",
        },
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "line"},
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "django.db.backends": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "django.server": {"handlers": [], "level": "CRITICAL", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
        "fido2": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},  # it names credentials below that
        "asyncio": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}
