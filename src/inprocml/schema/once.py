"""An attribute that is computed on first use and then kept, without a lock.

``functools.cached_property`` of CPython 3.11 holds one lock per attribute of the *class* while it computes. A
process that forks at that moment, and a web server's does, hands its children a lock that nobody will ever
release. Here racing threads may compute twice; what they compute must be equal, and either result will do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

__all__ = ["once"]

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801  (used as a decorator, like property)
    """Turn a method into such an attribute, of instances that have a ``__dict__``, frozen ones included."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any]) -> T: ...

    def __get__(self, instance: object | None, owner: type[Any]) -> Self | T:
        if instance is None:
            return self
        # no __set__: from now on the instance's own dictionary answers, and this is not asked again
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
