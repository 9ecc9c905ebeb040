"""What pages load besides themselves: put together once when the process starts, named by what is in it, compressed.

Nothing is collected or built beforehand, so a page and its script can't be of two releases. The bundle is one file:
loaded as two, htmx may start before its guard (`hx-csp`) does, and an injected element gets its request through.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

URL = "/static/"


@dataclass(frozen=True, slots=True)
class Asset:
    """``url`` changes with the content, so it may be kept for ever."""

    url: str
    content_type: str
    body: bytes
    compressed: bytes


@cache
def assets() -> Mapping[str, Asset]:
    """Every asset, by the name that templates use."""
    static = Path(settings.BASE_DIR) / "static"
    vendor = static / "vendor"
    scripts = (vendor / "htmx.min.js", vendor / "hx-csp.min.js", *sorted((static / "js").glob("*.js")))
    styles = (vendor / "uPlot.min.css", *sorted((static / "css").glob("*.css")))
    return {
        "console.js": _asset("console.js", "text/javascript; charset=utf-8", _joined(scripts, b";\n")),
        "charts.js": _asset(
            "charts.js", "text/javascript; charset=utf-8", _joined([vendor / "uPlot.iife.min.js"], b"")
        ),
        "console.css": _asset("console.css", "text/css; charset=utf-8", _joined(styles, b"\n")),
        "icons.svg": _asset("icons.svg", "image/svg+xml", (vendor / "icons.svg").read_bytes()),
        "mark.svg": _asset("mark.svg", "image/svg+xml", (static / "mark.svg").read_bytes()),
    }


@cache
def by_url() -> Mapping[str, Asset]:
    return {asset.url: asset for asset in assets().values()}


def _joined(paths: Iterable[Path], end: bytes) -> bytes:
    return b"".join(path.read_bytes() + end for path in paths)


def _asset(name: str, content_type: str, body: bytes) -> Asset:
    stem, _, suffix = name.partition(".")
    digest = hashlib.sha256(body).hexdigest()[:16]
    return Asset(f"{URL}{stem}.{digest}.{suffix}", content_type, body, gzip.compress(body, 9, mtime=0))
