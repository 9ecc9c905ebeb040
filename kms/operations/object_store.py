"""One object into a bucket of an S3-compatible store: its address, its signature, what the store answered.

It must not know what is in an object, nor why it is kept.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlsplit, urlunsplit

from accounts import outbound
from accounts.outbound import OutboundFailed
from kms.secret import SecretBytes

# The error's name in the store's answer: the one part of it that is shown.
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


@dataclass(frozen=True, slots=True)
class Bucket:
    """``endpoint`` is an origin. The bucket is the first part of the path, or with ``virtual`` of the host's name."""

    endpoint: str
    region: str
    name: str
    virtual: bool = False

    def url(self, key: str = "") -> str:
        """Encoded once, as it is signed: stores decode what they compare (AWS Signature Version 4, S3's exception)."""
        scheme, host, *_ = urlsplit(self.endpoint)
        path = quote(key, safe="/-_.~")
        if self.virtual:
            return urlunsplit((scheme, f"{self.name}.{host}", f"/{path}", "", ""))
        return urlunsplit((scheme, host, f"/{self.name}/{path}", "", ""))


@dataclass(frozen=True, slots=True)
class Access:
    """Whose requests they are; the secret never leaves, what it signs does."""

    key_id: str
    secret: SecretBytes


@dataclass(frozen=True, slots=True)
class StoredObject:
    """``retained_until``: nobody deletes or replaces this version before (S3 Object Lock, mode COMPLIANCE)."""

    key: str
    body: bytes
    content_type: str
    retained_until: datetime | None = None


def put(bucket: Bucket, wanted: StoredObject, access: Access, *, trust: ssl.SSLContext | None) -> None:
    """Returns when the store has it. None for ``trust`` is no TLS. Raises OutboundRefused or OutboundFailed."""
    url = bucket.url(wanted.key)
    headers = _signed(url, wanted.body, _headers(wanted), access, bucket.region)
    schemes = ("http",) if trust is None else ("https",)
    answer = outbound.fetch(url, method="PUT", body=wanted.body, headers=headers, trust=trust, schemes=schemes)
    if not 200 <= answer.status < 300:
        code = _CODE.search(answer.body)
        raise OutboundFailed(f"it answered {answer.status}" + (f" {code[1].decode()}" if code else ""))


def _headers(wanted: StoredObject) -> dict[str, str]:
    """The store compares the digest with what it has received; where it locks objects it demands one."""
    digest = base64.b64encode(hashlib.sha256(wanted.body).digest()).decode()
    headers = {"Content-Type": wanted.content_type, "x-amz-checksum-sha256": digest}
    if wanted.retained_until is not None:
        headers["x-amz-object-lock-mode"] = "COMPLIANCE"
        headers["x-amz-object-lock-retain-until-date"] = f"{wanted.retained_until:%Y-%m-%dT%H:%M:%SZ}"
    return headers


def _signed(url: str, body: bytes, headers: Mapping[str, str], access: Access, region: str) -> dict[str, str]:
    """By the vendor's own signer, which is loaded at the first object: most servers never send one."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest("PUT", url, headers=dict(headers), data=body)
    credentials = Credentials(access.key_id, access.secret.reveal().decode())
    S3SigV4Auth(credentials, "s3", region).add_auth(request)
    return dict(request.headers.items())
