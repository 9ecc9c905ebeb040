"""Images, asked of registries at most once in a while: what has a digest for long, what has a tag for a minute."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from k8s.webhook.images.image import Image, ImageUnknown
from k8s.webhook.images.reference import Reference, parse
from k8s.webhook.images.registry import Registry

_TAG_SECONDS, _FAILURE_SECONDS = 60.0, 5.0
_REMEMBERED = 2048

_Key = tuple[Reference, str]


class ImageLookup:
    """``seconds`` bounds one answer, however many requests it takes: the API server waits for it."""

    def __init__(
        self, registry: Registry, architecture: str, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry, self._architecture, self._seconds, self._clock = registry, architecture, seconds, clock
        self._known: OrderedDict[_Key, tuple[float, Image | ImageUnknown]] = OrderedDict()
        self._under_way: dict[_Key, asyncio.Task[Image]] = {}

    async def __call__(self, text: str, architecture: str) -> Image:
        key = (parse(text), architecture or self._architecture)
        until, found = self._known.get(key, (0.0, None))
        if found is None or self._clock() >= until:
            return await asyncio.shield(self._asked(key))
        self._known.move_to_end(key)
        if isinstance(found, ImageUnknown):
            raise found
        return found

    def _asked(self, key: _Key) -> asyncio.Task[Image]:
        """Hundreds of pods of one image that are made at once ask once."""
        if key not in self._under_way:
            task = asyncio.create_task(self._ask(key))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key))
        return self._under_way[key]

    async def _ask(self, key: _Key) -> Image:
        reference, architecture = key
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._registry.image(reference, architecture)
        except TimeoutError:
            slow = ImageUnknown(f"its registry {reference.registry} took longer than {self._seconds:g} s", passing=True)
            self._remember(key, slow, _FAILURE_SECONDS)
            raise slow from None
        except ImageUnknown as unknown:
            self._remember(key, unknown, _FAILURE_SECONDS)
            raise
        self._remember(key, found, float("inf") if reference.by_digest else _TAG_SECONDS)
        return found

    def _remember(self, key: _Key, found: Image | ImageUnknown, seconds: float) -> None:
        self._known[key] = (self._clock() + seconds, found)
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


class NoLookup:
    """Where the operator lets nobody ask registries."""

    async def __call__(self, text: str, architecture: str) -> Image:
        raise ImageUnknown("the webhook's configuration does not let it ask registries")
