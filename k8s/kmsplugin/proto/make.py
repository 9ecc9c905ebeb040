"""Makes the modules of the messages anew from the `.proto` files; for developers, with `grpcio-tools`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SOURCES = ("kms_v2.proto", "kms_v1beta1.proto")


def make(into: Path = ROOT) -> None:
    """Under ``into``, where the package's folders are."""
    from grpc_tools import protoc

    names = [str((HERE / source).relative_to(ROOT)) for source in SOURCES]
    status = protoc.main(["protoc", f"--proto_path={ROOT}", f"--python_out={into}", f"--pyi_out={into}", *names])
    if status != 0:
        sys.exit(status)


if __name__ == "__main__":
    make()
