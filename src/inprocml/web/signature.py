"""Makes a view look to its framework as if the injected prediction had never been a parameter."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["without_parameter"]


def without_parameter(view: Callable[..., Any], wrapper: Callable[..., Any], position: int) -> None:
    """Give ``wrapper`` the name, doc and signature of ``view``, less the parameter at ``position``.

    ``functools.wraps`` alone leaves the parameter visible: frameworks that read signatures would then ask
    the request for it. ``__wrapped__`` stays, so ``view.__wrapped__(prediction, ...)`` is how a test calls
    the bare view. Raises ``TypeError`` when the view takes no such parameter.
    """
    functools.update_wrapper(wrapper, view)
    signature = inspect.signature(view)
    parameters = list(signature.parameters.values())
    if len(parameters) <= position or parameters[position].kind not in {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    }:
        raise TypeError(
            f"{view.__qualname__} must take the prediction as positional parameter {position + 1}; "
            "put the decorator below the route, in a class-based view on the method"
        )
    dropped = parameters.pop(position)
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {
        name: kind for name, kind in wrapper.__annotations__.items() if name != dropped.name
    }
