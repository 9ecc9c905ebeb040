"""How a registry says where its tokens are had: `WWW-Authenticate: Bearer realm="…",service="…",scope="…"`."""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

_PARAMETER = re.compile(r'([a-zA-Z]+)="([^"]*)"')


def is_basic(header: str) -> bool:
    return header[:6].lower() == "basic "


def token_address(header: str, repository: str) -> str:
    """Empty: the header names none. The scope is ours, whatever the registry would rather have us ask for."""
    if header[:7].lower() != "bearer ":
        return ""
    said = {name.lower(): value for name, value in _PARAMETER.findall(header)}
    realm = said.get("realm", "")
    try:
        parts = urlsplit(realm)
    except ValueError:
        return ""
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return ""
    asked = {"service": said["service"]} if "service" in said else {}
    query = urlencode({**asked, "scope": f"repository:{repository}:pull"})
    return f"{realm}{'&' if parts.query else '?'}{query}"
