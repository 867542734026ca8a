"""Who has a place among a server's connections, and who makes room."""

from collections.abc import Callable

import pytest

from ml.http.places import FEWEST, Places


class _Client:
    def __init__(self) -> None:
        self.is_away = False

    def give_way(self) -> None:
        self.is_away = True


@pytest.fixture
def come(places: Places) -> Callable[[int], list[_Client]]:
    def entered(count: int) -> list[_Client]:
        clients = [_Client() for _ in range(count)]
        assert all(places.enter(client) for client in clients)
        return clients

    return entered


@pytest.fixture
def places() -> Places:
    return Places(2)


def test_who_asks_has_a_place_while_there_is_one(places: Places, come: Callable[[int], list[_Client]]) -> None:
    first, second, third = come(3)
    assert [places.places(client) for client in (first, second, third)] == [True, True, False]
    places.leave(first)
    assert places.places(third)
    assert not places.places(first)


def test_slow_clients_take_no_place_and_the_slowest_make_room(
    places: Places, come: Callable[[int], list[_Client]]
) -> None:
    slow = come(FEWEST + 10)
    assert [client.is_away for client in slow] == [True] * 10 + [False] * FEWEST
    (quick,) = come(1)
    assert places.places(quick)
    assert slow[10].is_away


def test_a_spare_one_that_is_answered_is_not_sent_away(places: Places, come: Callable[[int], list[_Client]]) -> None:
    for client in come(2):
        assert places.places(client)
    spare = come(FEWEST)
    for client in spare[1:]:
        assert not places.places(client)
        places.asks(client)
    come(1)
    assert [client.is_away for client in spare] == [True] + [False] * (FEWEST - 1)
    places.waits(spare[1])
    come(2)  # the one that came last waits longer
    assert spare[1].is_away


def test_where_all_are_busy_nobody_comes_in(places: Places, come: Callable[[int], list[_Client]]) -> None:
    for client in come(FEWEST):
        places.asks(client)
    assert not places.enter(_Client())
