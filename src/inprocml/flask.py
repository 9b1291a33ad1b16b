"""Flask: ``@predicts(model)`` above a view, problem+json errors, an opt-in health blueprint.

@app.post("/flights/<int:flight_id>/late")
@predicts(late)
def score(prediction: Prediction, flight_id: int): ...
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

import flask
from werkzeug.exceptions import RequestEntityTooLarge

from inprocml.errors import InprocmlError
from inprocml.model import Model
from inprocml.values import Prediction, Row
from inprocml.web import (
    MAX_BODY,
    PROBLEM_JSON,
    check_body,
    liveness,
    parse_row,
    problem,
    readiness,
    without_first,
)
from inprocml.web.row import require_row, too_large

__all__ = ["health", "init_app", "predicts"]

P = ParamSpec("P")
R = TypeVar("R")
RowFrom = Callable[[flask.Request], Row]

_log = logging.getLogger("inprocml")


class _Predicts:
    """The decorator ``predicts`` returns; overloads keep the view's types, sync or async."""

    def __init__(self, model: Model, row: RowFrom | None, timeout: float | None, max_body: int) -> None:
        self._model = model
        self._row = row
        self._timeout = timeout
        self._max_body = max_body

    @overload
    def __call__(
        self, view: Callable[Concatenate[Prediction, P], Awaitable[R]]
    ) -> Callable[P, Awaitable[R | flask.Response]]: ...

    @overload
    def __call__(self, view: Callable[Concatenate[Prediction, P], R]) -> Callable[P, R | flask.Response]: ...

    def __call__(self, view: Callable[..., Any]) -> Callable[..., Any]:
        wrapper = self._asynchronous(view) if inspect.iscoroutinefunction(view) else self._synchronous(view)
        without_first(view, wrapper)
        return wrapper

    def _synchronous(self, view: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                prediction = self._model.predict(self._take_row(), timeout=self._timeout)
                return view(prediction, *args, **kwargs)
            except InprocmlError as error:
                return problem_response(error)

        return wrapper

    def _asynchronous(self, view: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                prediction = await self._model.apredict(self._take_row(), timeout=self._timeout)
                return await view(prediction, *args, **kwargs)
            except InprocmlError as error:
                return problem_response(error)

        return wrapper

    def _take_row(self) -> Row:
        request = flask.request
        if self._row is not None:
            return require_row(self._row(request))
        check_body(request.content_type, request.content_length, max_body=self._max_body)
        return parse_row(_read_body(request, self._max_body))


def predicts(
    model: Model,
    *,
    row: RowFrom | None = None,
    timeout: float | None = None,
    max_body: int = MAX_BODY,
) -> _Predicts:
    """Give the view a ``Prediction`` as its first argument; put it below ``@app.route``.

    The row is the request's JSON object, or what ``row(request)`` returns. ``timeout`` is in seconds,
    ``max_body`` in bytes. The view keeps its other parameters, its types and its name; it may be ``async``.
    Every inprocml error becomes a problem+json response with the error's status: 400, 413, 415, 422, 503,
    504, or 500 with the reason in the log only.
    """
    return _Predicts(model, row, timeout, max_body)


def init_app(app: flask.Flask) -> flask.Flask:
    """Answer inprocml errors raised anywhere in ``app`` as problem+json; returns ``app``.

    Views below ``@predicts`` need no ``init_app``; views that call ``model.predict`` themselves do. Reads no
    configuration and loads nothing. Raises ``RuntimeError`` when called twice on one app.
    """
    if "inprocml" in app.extensions:
        raise RuntimeError(
            "inprocml.flask.init_app was already called on this app; call it once, where the app is made"
        )
    app.extensions["inprocml"] = True
    app.register_error_handler(InprocmlError, problem_response)
    return app


def health(*models: Model, name: str = "inprocml_health") -> flask.Blueprint:
    """Return a blueprint with ``/live`` and ``/ready`` for ``models``; register it where you like.

    ``/live`` answers 200 always; ``/ready`` 200 once every model has a version loaded in this process, 503
    with ``Retry-After`` until then. The first probe starts the loading.
    """
    blueprint = flask.Blueprint(name, __name__)

    @blueprint.get("/live")
    def live() -> dict[str, Any]:
        return liveness()

    @blueprint.get("/ready")
    def ready() -> tuple[dict[str, Any], int, dict[str, str]]:
        body, status = readiness(models)
        return body, status, {} if status == 200 else {"Retry-After": "1"}

    return blueprint


def problem_response(error: InprocmlError) -> flask.Response:
    """Return ``error`` as application/problem+json; the full reason of a 500 goes to the log."""
    body, status, headers = problem(error)
    if status == 500:
        # The traceback once per mistake: a broken store under load must not drown the host's log.
        first = _untold(f"{type(error).__name__}: {error}")
        _log.error(
            "%s %s: %s: %s",
            flask.request.method,
            flask.request.path,
            type(error).__name__,
            error,
            exc_info=error if first else None,
        )
    response = flask.jsonify(body)
    response.status_code = status
    response.mimetype = PROBLEM_JSON
    response.headers.update(headers)
    return response


_told: set[str] = set()


def _untold(mistake: str) -> bool:
    """Whether this mistake is logged for the first time; after 256 different ones, none is told in full."""
    if mistake in _told or len(_told) >= 256:
        return False
    _told.add(mistake)
    return True


def _read_body(request: flask.Request, max_body: int) -> bytes:
    try:
        # A chunked body has no length: it is known only by reading.
        chunked = request.content_length is None
        body = request.stream.read(max_body + 1) if chunked else request.get_data()
    except RequestEntityTooLarge:
        raise too_large(max_body) from None
    if len(body) > max_body:
        raise too_large(max_body)
    return body
