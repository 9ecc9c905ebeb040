"""An image's configuration, as far as it tells what would run and as whom (OCI image specification)."""

from __future__ import annotations

import msgspec


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """``user``: as the image has it: a number, a name, either with a group, or nothing, which is root."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""


class ImageUnknown(Exception):
    """Nobody tells; the text is a part of a sentence and says why. ``passing``: it may be told another time."""

    def __init__(self, why: str, *, passing: bool = False) -> None:
        super().__init__(why)
        self.passing = passing
