"""`manage.py follow_record --cursor FILE [--output FILE] [--follow]`: the record for tools of the host, as lines."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError
from django.db import close_old_connections

from kms.audit.formats import Format, SealedEntry, heading, rendered
from kms.audit.tree import RecordDamaged
from kms.operations.errors import InvalidRequest
from kms.operations.executor import execute
from kms.operations.record_following import FollowRecord, Place
from kms.operations.rescue import host

PAUSE_SECONDS = 1.0


class Command(BaseCommand):
    help = "Write every sealed entry of every account, from where the cursor is. What was written twice has one hash."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cursor", type=Path, required=True, help="File that says how far it came; it is made.")
        parser.add_argument("--output", type=Path, help="File to append to (default: standard output).")
        parser.add_argument("--format", type=Format, choices=list(Format), default=Format.JSON, help="Default: json.")
        parser.add_argument("--follow", action="store_true", help="Go on for ever, as entries are sealed.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with Lines(options["output"], options["format"], options["cursor"]) as lines:
                command = FollowRecord(lines.place, lines.take, _waits if options["follow"] else lambda: False)
                place: Place = execute(host(), command)
        except InvalidRequest as error:
            raise CommandError(f"{error}.") from None
        except RecordDamaged as error:
            raise CommandError(f"The record is damaged and is not followed on: {error}.") from error
        except OSError as error:
            raise CommandError(f"{error.filename or 'The output'} cannot be used: {error.strerror}.") from error
        except KeyboardInterrupt:
            return
        self.stderr.write(f"Entries so far: {place.next}")


def _waits() -> bool:
    close_old_connections()
    time.sleep(PAUSE_SECONDS)
    return True


class Lines:
    """Lines first, then the cursor, each on the disk before the next: a crash repeats some, and loses none."""

    def __init__(self, output: Path | None, form: Format, cursor: Path) -> None:
        self._form, self._cursor = form, cursor
        self.place = _read(cursor)
        self._file: BinaryIO = sys.stdout.buffer if output is None else output.open("ab+")
        self._own = output is not None

    def __enter__(self) -> Lines:
        if self.place.next == 0:
            self._write(list(heading(self._form)))
        elif self._own and self._torn():
            self._write([""])  # ends the line that a crash left half written
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            self._file.close()

    def take(self, entries: Sequence[SealedEntry], place: Place) -> None:
        self._write([rendered(self._form, entry) for entry in entries])
        written = self._cursor.with_name(f"{self._cursor.name}.new")
        with written.open("w", encoding="ascii") as file:
            json.dump({"next": place.next, "hash": place.hash}, file)
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._cursor)
        self.place = place

    def _write(self, lines: Sequence[str]) -> None:
        self._file.write("".join(f"{line}\n" for line in lines).encode())
        self._file.flush()
        with suppress(OSError):  # a pipe has nothing to sync
            os.fsync(self._file.fileno())

    def _torn(self) -> bool:
        if self._file.seek(0, os.SEEK_END) == 0:
            return False
        self._file.seek(-1, os.SEEK_END)
        return self._file.read(1) != b"\n"


def _read(cursor: Path) -> Place:
    try:
        found = json.loads(cursor.read_text(encoding="ascii"))
        bytes.fromhex(found["hash"])
        return Place(int(found["next"]), str(found["hash"]))
    except FileNotFoundError:
        return Place()
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{cursor} is no cursor.") from None
