"""A token that goes, comes back, or is not as it should be; each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Scenario = Callable[[str], None]


def test_a_token_directory_that_goes_and_comes_back_is_recovered(scenario: Scenario) -> None:
    scenario("token_gone_and_back")


def test_an_unclear_error_while_the_token_is_gone_blames_the_token(scenario: Scenario) -> None:
    scenario("gone_token_is_not_a_bad_tag")


def test_master_keys_that_deviate_seal_the_module(scenario: Scenario) -> None:
    scenario("deviating_master_keys")


def test_master_keys_made_elsewhere_with_the_right_attributes_are_taken(scenario: Scenario) -> None:
    scenario("good_master_keys")


def test_missing_master_keys_seal_the_module_until_they_are_made(scenario: Scenario) -> None:
    scenario("missing_master_keys")


def test_blobs_of_an_older_generation_still_open(scenario: Scenario) -> None:
    scenario("two_generations")


@pytest.mark.parametrize("name", ["nothing_secret_is_left"])
def test_neither_names_nor_files_nor_reprs_hold_a_secret(name: str, scenario: Scenario) -> None:
    scenario(name)
