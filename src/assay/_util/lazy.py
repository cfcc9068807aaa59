"""A mapping whose names are known at once, and whose values are made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

Value = TypeVar("Value")


class LazyMapping(Mapping[str, Value]):
    """Makes each value once.

    Args:
        makers: name → what makes its value.
        made: values that are there already.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Value]], made: Mapping[str, Value]) -> None:
        self._makers, self._made = dict(makers), dict(made)
        self._names = dict.fromkeys([*makers, *made])

    def __getitem__(self, name: str) -> Value:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
