"""In which order servers are tried: pure, with the time as it is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from k8s.client.servers import Servers

A, B, C = ADDRESSES = ("https://a", "https://b", "https://c")


def test_the_preferred_come_first_and_those_that_failed_last_for_a_while() -> None:
    servers = Servers(ADDRESSES, rest_seconds=10)
    assert servers.order(0) == [A, B, C]
    servers.failed(A, 1)
    servers.failed(B, 2)
    assert servers.order(3) == [C, A, B]
    assert servers.order(11.5) == [A, C, B]
    assert servers.order(13) == [A, B, C]


def test_one_that_answers_again_has_its_place_back() -> None:
    servers = Servers(ADDRESSES, rest_seconds=10)
    servers.failed(A, 1)
    servers.answered(A)
    assert servers.order(2) == [A, B, C]


@given(st.lists(st.tuples(st.sampled_from(ADDRESSES), st.booleans(), st.integers(0, 30))), st.integers(0, 60))
def test_nobody_is_ever_left_out(events: list[tuple[str, bool, int]], now: int) -> None:
    servers = Servers(ADDRESSES)
    for address, failed, at in events:
        if failed:
            servers.failed(address, at)
        else:
            servers.answered(address)
    assert sorted(servers.order(now)) == sorted(ADDRESSES)
