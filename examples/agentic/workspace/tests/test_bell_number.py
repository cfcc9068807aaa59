"""The number of ways to split a set of n things into non-empty parts."""

from solution import bell_number


def test_small_ones() -> None:
    assert [bell_number(n) for n in range(5)] == [1, 1, 2, 5, 15]


def test_large_ones() -> None:
    assert bell_number(20) == 51724158235372
    assert bell_number(25) == 4638590332229999353
