"""DATABASE_URL, taken apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from kms.config.database import DatabaseAddress, embedded_address, parse_database_url, socket_directory


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://db/keystead", DatabaseAddress("keystead", host="db")),
        (
            "postgres://me:secret@db.example.org:6432/keystead",
            DatabaseAddress("keystead", "me", "secret", "db.example.org", 6432),
        ),
        ("postgresql://me@/keystead?host=/var/run/pg", DatabaseAddress("keystead", "me", host="/var/run/pg")),
        ("postgresql://me@%2FVar%2Frun/keystead", DatabaseAddress("keystead", "me", host="/Var/run")),
        ("postgresql://me@/keystead?host=/run&port=5433", DatabaseAddress("keystead", "me", host="/run", port=5433)),
        ("postgresql://a%40b:p%2F%3A%25@db/k%2Fs", DatabaseAddress("k/s", "a@b", "p/:%", "db")),
        ("postgresql://me@[2001:db8::1]:5432/k", DatabaseAddress("k", "me", host="2001:db8::1", port=5432)),
        (
            "postgresql://db/k?sslmode=verify-full&sslrootcert=/ca.pem",
            DatabaseAddress("k", host="db", options=(("sslmode", "verify-full"), ("sslrootcert", "/ca.pem"))),
        ),
        ("postgresql:///k", DatabaseAddress("k")),
    ],
)
def test_addresses_are_taken_apart(url: str, expected: DatabaseAddress) -> None:
    assert parse_database_url(url) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("keystead", "must start with"),
        ("mysql://db/k", "must start with"),
        ("postgresql://db", "names no database"),
        ("postgresql://db/", "names no database"),
        ("postgresql://db/a/b", "more than one"),
        ("postgresql://db:none/k", "port"),
        ("postgresql://db:70000/k", "port"),
        ("postgresql://db/k?port=x", "port"),
        ("postgresql://me:a#b@db/k", "%23"),
        ("postgresql://db/k?password=secret", "unknown option: password"),
        ("postgresql://db/k?sslmod=disable", "unknown option: sslmod"),
        ("postgresql://db/k?sslmode", "name=value"),
    ],
)
def test_addresses_that_make_no_sense_are_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_database_url(url)


def test_the_password_is_in_no_repr() -> None:
    assert "secret" not in repr(parse_database_url("postgresql://me:secret@db/k"))


def test_django_gets_every_part() -> None:
    settings = parse_database_url("postgresql://me:secret@db:1/k?sslmode=require").as_django()
    assert settings == {
        "ENGINE": "kms.config.database_engine",
        "NAME": "k",
        "USER": "me",
        "PASSWORD": "secret",
        "HOST": "db",
        "PORT": "1",
        "OPTIONS": {"sslmode": "require"},
    }


def test_the_socket_is_in_the_data_folder() -> None:
    assert socket_directory(Path("/srv/keystead")) == Path("/srv/keystead/run")
    assert embedded_address(Path("/srv/keystead"), "me").host == "/srv/keystead/run"


def test_a_data_folder_too_deep_for_a_socket_gets_one_elsewhere_always_the_same() -> None:
    deep = Path("/srv") / ("x" * 100)
    assert len(str(socket_directory(deep) / ".s.PGSQL.5432")) < 104
    assert socket_directory(deep) == socket_directory(deep)
    assert socket_directory(deep) != socket_directory(deep / "other")
