"""What cannot be beaten on this machine: the HTTP server without us, and the token without HTTP."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

BODY = b'{"kid":"00000000-0000-4000-8000-000000000000","cipher":"AAAAAAAAAAAAAAAAAAAAAA==","iv":"AAAAAAAAAAAAAAAA"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def constant(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that reads the body and answers without looking."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def token_per_second(seconds: float = 2.0) -> float:
    """AES-256-GCM encryptions of 32 bytes a second through the door, one thread, handle cached."""
    from kms.hsm.module import AesGcm, KeySpec, Usage
    from tests.hsm.token_place import TokenPlace

    with tempfile.TemporaryDirectory(prefix="keystead-bench-token-") as folder:
        place = TokenPlace(Path(folder))
        place.configure()
        place.initialise()
        module = place.module()
        module.provision_master_keys()
        spec, binding = KeySpec("AES", 256), b"bench"
        blob = module.generate(spec, binding=binding).blob
        data, count = bytes(32), 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(200):
                key = module.open(spec, blob, binding=binding, usage=Usage.ENCRYPT, cache_key=b"bench")
                key.encrypt(AesGcm(bytes(12)), data)
            count += 200
        module.close()
        return count / seconds
