"""Fields of a frozen dataclass whose values are made when they are first read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class Later(Generic[T]):
    """A value that `make` returns when it is first needed."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make: Callable[[], T] | None = make
        self._made: tuple[T, ...] = ()

    def __call__(self) -> T:
        if not self._made and (make := self._make) is not None:
            self._made = (make(),)
            self._make = None  # and what it holds
        return self._made[0]


class Lazy(Generic[T]):
    """A field that is given a value, a `Later`, or None, its default. Reading it gives the value."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> None: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T | None: ...
    def __get__(self, instance: Any, owner: type) -> T | None:
        held: T | Later[T] | None = None if instance is None else vars(instance)[self._name]
        return held() if isinstance(held, Later) else held

    def __set__(self, instance: Any, value: T | Later[T] | None) -> None:
        vars(instance)[self._name] = value

    def is_given(self, instance: object) -> bool:
        """Return whether the field has a value, without making it."""
        return vars(instance)[self._name] is not None
