"""The two versions of Kubernetes' KMS API, as gRPC handlers over one master key.

Trouble is answered with an error, by Status too: told by its text alone, the API server would go on for longer with the
seed it has (kubernetes#138950).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from k8s.client import Call
from k8s.kmsplugin import __version__
from k8s.kmsplugin.answering import Answering
from k8s.kmsplugin.master_key import MasterKey
from k8s.kmsplugin.metrics import Metrics
from k8s.kmsplugin.proto import kms_v1beta1_pb2 as v1
from k8s.kmsplugin.proto import kms_v2_pb2 as v2

Handler = Callable[[Any, grpc.ServicerContext], Message]
SERVICE = "KeyManagementService"
NAME = "Keystead"


class Version2:
    def __init__(self, key: MasterKey, answering: Answering, metrics: Metrics) -> None:
        self._key, self._answering, self._metrics = key, answering, metrics

    def status(self, _request: v2.StatusRequest, context: grpc.ServicerContext) -> v2.StatusResponse:
        def work(call: Call) -> tuple[v2.StatusResponse, str]:
            key_id = str(self._key.proven(call))
            self._metrics.healthy(key_id)
            return v2.StatusResponse(version="v2", healthz="ok", key_id=key_id), key_id

        return self._answering.answer("Status", "", context, work)

    def encrypt(self, request: v2.EncryptRequest, context: grpc.ServicerContext) -> v2.EncryptResponse:
        def work(call: Call) -> tuple[v2.EncryptResponse, str]:
            key, ciphertext = self._key.seal(request.plaintext, call)
            return v2.EncryptResponse(ciphertext=ciphertext, key_id=str(key)), str(key)

        return self._answering.answer("Encrypt", request.uid, context, work)

    def decrypt(self, request: v2.DecryptRequest, context: grpc.ServicerContext) -> v2.DecryptResponse:
        def work(call: Call) -> tuple[v2.DecryptResponse, str]:
            plaintext = self._key.open(request.ciphertext, call, key_id=request.key_id)
            return v2.DecryptResponse(plaintext=plaintext), request.key_id

        return self._answering.answer("Decrypt", request.uid, context, work)

    def handler(self) -> grpc.GenericRpcHandler:
        return _service(
            "v2",
            Status=(self.status, v2.StatusRequest),
            Encrypt=(self.encrypt, v2.EncryptRequest),
            Decrypt=(self.decrypt, v2.DecryptRequest),
        )


class Version1:
    """It knows no key ids and no uids: the envelope tells the key, and the record gets names of our own."""

    def __init__(self, key: MasterKey, answering: Answering) -> None:
        self._key, self._answering = key, answering

    def version(self, _request: v1.VersionRequest, _context: grpc.ServicerContext) -> v1.VersionResponse:
        return v1.VersionResponse(version="v1beta1", runtime_name=NAME, runtime_version=__version__)

    def encrypt(self, request: v1.EncryptRequest, context: grpc.ServicerContext) -> v1.EncryptResponse:
        def work(call: Call) -> tuple[v1.EncryptResponse, str]:
            key, ciphertext = self._key.seal(request.plain, call)
            return v1.EncryptResponse(cipher=ciphertext), str(key)

        return self._answering.answer("EncryptV1", "", context, work)

    def decrypt(self, request: v1.DecryptRequest, context: grpc.ServicerContext) -> v1.DecryptResponse:
        def work(call: Call) -> tuple[v1.DecryptResponse, str]:
            return v1.DecryptResponse(plain=self._key.open(request.cipher, call)), ""

        return self._answering.answer("DecryptV1", "", context, work)

    def handler(self) -> grpc.GenericRpcHandler:
        return _service(
            "v1beta1",
            Version=(self.version, v1.VersionRequest),
            Encrypt=(self.encrypt, v1.EncryptRequest),
            Decrypt=(self.decrypt, v1.DecryptRequest),
        )


def _service(package: str, **methods: tuple[Handler, type[Message]]) -> grpc.GenericRpcHandler:
    """What generated stubs would do, without tying the modules to one version of gRPC."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        name: grpc.unary_unary_rpc_method_handler(
            handler, request_deserializer=request.FromString, response_serializer=_serialized
        )
        for name, (handler, request) in methods.items()
    }
    return grpc.method_handlers_generic_handler(f"{package}.{SERVICE}", handlers)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
