"""Fixtures for every test."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: None) -> None:
    """pytest-django calls this just before it makes the test database: the server must run by then."""
