"""The committed modules of the messages are those that the `.proto` files make."""

from __future__ import annotations

from pathlib import Path

import pytest

from k8s.kmsplugin.proto import make
from k8s.kmsplugin.proto.kms_v1beta1_pb2 import DESCRIPTOR as V1
from k8s.kmsplugin.proto.kms_v2_pb2 import DESCRIPTOR as V2

MODULES = [f"kms_{version}_pb2.{kind}" for version in ("v2", "v1beta1") for kind in ("py", "pyi")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proto")
    make.make(folder)
    return folder / make.HERE.relative_to(make.ROOT)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_what_its_proto_file_makes(made: Path, module: str) -> None:
    assert (made / module).read_text() == (make.HERE / module).read_text()


def test_names_and_numbers_are_kubernetes_own() -> None:
    """As k8s.io/kms publishes them in apis/v2/api.proto and apis/v1beta1/api.proto."""
    numbers = {
        f"{file.package}.{message.name}.{field.name}": field.number
        for file in (V2, V1)
        for message in file.message_types_by_name.values()
        for field in message.fields
    }
    assert numbers == {
        "v2.StatusResponse.version": 1,
        "v2.StatusResponse.healthz": 2,
        "v2.StatusResponse.key_id": 3,
        "v2.DecryptRequest.ciphertext": 1,
        "v2.DecryptRequest.uid": 2,
        "v2.DecryptRequest.key_id": 3,
        "v2.DecryptRequest.annotations": 4,
        "v2.DecryptResponse.plaintext": 1,
        "v2.EncryptRequest.plaintext": 1,
        "v2.EncryptRequest.uid": 2,
        "v2.EncryptResponse.ciphertext": 1,
        "v2.EncryptResponse.key_id": 2,
        "v2.EncryptResponse.annotations": 3,
        "v1beta1.VersionRequest.version": 1,
        "v1beta1.VersionResponse.version": 1,
        "v1beta1.VersionResponse.runtime_name": 2,
        "v1beta1.VersionResponse.runtime_version": 3,
        "v1beta1.DecryptRequest.version": 1,
        "v1beta1.DecryptRequest.cipher": 2,
        "v1beta1.DecryptResponse.plain": 1,
        "v1beta1.EncryptRequest.version": 1,
        "v1beta1.EncryptRequest.plain": 2,
        "v1beta1.EncryptResponse.cipher": 1,
    }
