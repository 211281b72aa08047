import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from visual_erm.runtime.cache import Cache


def test_the_least_recently_used_goes_first():
    cache: Cache[int] = Cache(2)
    cache.keep("a", 1)
    cache.keep("b", 2)
    cache.find("a")
    cache.keep("c", 3)
    assert (cache.find("a"), cache.find("b"), cache.find("c")) == (1, None, 3)


def test_the_limit_is_one_of_weight():
    cache: Cache[str] = Cache(10, len)
    for word in ("four", "five", "sixsix"):
        cache.keep(word, word)
    assert [cache.find(word) for word in ("four", "five", "sixsix")] == [None, "five", "sixsix"]


def test_a_value_that_is_too_heavy_costs_no_other_its_place():
    cache: Cache[str] = Cache(10, len)
    cache.keep("five", "five")
    cache.keep("heavy", "far too heavy")
    assert (cache.find("five"), cache.find("heavy")) == ("five", None)
    cache.keep("five", "much too heavy")
    assert cache.find("five") is None


def test_a_value_replaced_counts_once():
    cache: Cache[str] = Cache(10, len)
    for _ in range(5):
        cache.keep("key", "12345")
    cache.keep("other", "12345")
    assert len(cache) == 2


def test_who_asks_for_a_value_in_the_making_waits_for_it():
    cache: Cache[object] = Cache(4)
    started, finish = threading.Event(), threading.Event()
    made = []

    def make() -> object:
        started.set()
        finish.wait()
        made.append(object())
        return made[0]

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(cache.get, "key", make)
        started.wait()
        others = [pool.submit(cache.get, "key", make) for _ in range(2)]
        finish.set()
        assert [other.result() for other in others] == [first.result()] * 2
    assert len(made) == 1


def test_an_error_is_passed_on_and_not_kept():
    cache: Cache[int] = Cache(4)
    with pytest.raises(ZeroDivisionError):
        cache.get("key", lambda: 1 // 0)
    assert cache.get("key", lambda: 7) == 7
