"""Flask: ``@predicts(model)`` above a view, problem+json errors, an opt-in health blueprint.

@app.post("/flights/<int:flight_id>/late")
@predicts(late)
def score(prediction: Prediction, flight_id: int): ...
"""

from __future__ import annotations

import inspect
import logging
import math
import time
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
    VERSION_HEADER,
    check_body,
    check_offered,
    liveness,
    parse_row,
    problem,
    readiness,
    without_parameter,
)
from inprocml.web.row import require_row, too_large

__all__ = ["health", "init_app", "predicts"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
RowFrom = Callable[[flask.Request], Row]
KeyFrom = Callable[[flask.Request], str | None]

_log = logging.getLogger("inprocml")


class _Predicts:
    """The decorator ``predicts`` returns; overloads keep the view's types, sync or async."""

    def __init__(
        self,
        model: Model,
        row: RowFrom | None,
        timeout: float | None,
        max_body: int,
        key: KeyFrom | None,
        version_header: bool,  # noqa: FBT001 - private, given by name
        priority: int,
    ) -> None:
        self._model = model
        self._row = row
        self._timeout = timeout
        self._max_body = max_body
        self._key = key
        self._version_header = version_header
        self._priority = priority

    @overload
    def __call__(
        self, view: Callable[Concatenate[Prediction, P], Awaitable[R]]
    ) -> Callable[P, Awaitable[R | flask.Response]]: ...

    @overload
    def __call__(self, view: Callable[Concatenate[Prediction, P], R]) -> Callable[P, R | flask.Response]: ...

    @overload
    def __call__(
        self, view: Callable[Concatenate[S, Prediction, P], R]
    ) -> Callable[Concatenate[S, P], R | flask.Response]: ...

    def __call__(self, view: Callable[..., Any]) -> Callable[..., Any]:
        # In a class-based view the prediction comes after ``self``.
        place = 1 if next(iter(inspect.signature(view).parameters), "") == "self" else 0
        make = self._asynchronous if inspect.iscoroutinefunction(view) else self._synchronous
        wrapper = make(view, place)
        without_parameter(view, wrapper, place)
        return wrapper

    def _synchronous(self, view: Callable[..., Any], place: int) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                prediction = self._model.predict(self._take_row(), timeout=self._timeout, **self._choice())
                return view(*args[:place], prediction, *args[place:], **kwargs)
            except InprocmlError as error:
                return _answer(error)

        return wrapper

    def _asynchronous(self, view: Callable[..., Any], place: int) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                row = self._take_row()
                prediction = await self._model.apredict(row, timeout=self._timeout, **self._choice())
                return await view(*args[:place], prediction, *args[place:], **kwargs)
            except InprocmlError as error:
                return _answer(error)

        return wrapper

    def _choice(self) -> dict[str, Any]:
        """Return what decides between versions, and who goes first; nothing that was not asked for."""
        choice: dict[str, Any] = {"priority": self._priority} if self._priority else {}
        if self._key is not None and (key := self._key(flask.request)) is not None:
            choice["key"] = key
        if self._version_header and VERSION_HEADER in flask.request.headers:
            wanted = check_offered(flask.request.headers[VERSION_HEADER], self._model.offered)
            choice |= {"version": wanted} if wanted is not None else {}
        return choice

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
    key: KeyFrom | None = None,
    version_header: bool = False,
    priority: int = 0,
) -> _Predicts:
    """Give the view a ``Prediction`` as its first argument; put it below ``@app.route``.

    The row is the request's JSON object, or what ``row(request)`` returns. ``timeout`` is in seconds,
    ``max_body`` in bytes. During a rollout, requests with one ``key(request)`` (text, or ``None``) get one
    version; with ``version_header`` a request may name one of the model's ``pins`` as ``X-Model-Version``.
    Rows that wait go in the order of ``priority``, from -8 to 8.
    The view keeps its other parameters, its types and its name; it may be ``async``. Every inprocml error
    becomes a problem+json response with the error's status: 400, 413, 415, 422, 503, 504, or 500 with the
    reason in the log only; an error handler of the application's own goes first. In a class-based view,
    decorate the method: the prediction comes after ``self``.
    """
    if row is not None and not callable(row):
        raise TypeError(f"row must be a function from the request to a row, not {type(row).__name__}")
    if isinstance(model, type) or not callable(getattr(model, "predict", None)):
        raise TypeError(f"predicts takes a Model, not a {type(model).__name__}; declare one above the view")
    _check_timeout(timeout)
    if type(max_body) is not int or max_body < 1:
        raise ValueError("max_body must be at least 1 byte")
    if key is not None and not callable(key):
        raise TypeError(f"key must be a function from the request to text, not {type(key).__name__}")
    if type(priority) is not int:
        raise TypeError(f"priority must be a whole number, not {type(priority).__name__}")
    return _Predicts(model, row, timeout, max_body, key, version_header, priority)


def _check_timeout(timeout: object) -> None:
    if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
        raise ValueError("timeout must be more than 0 seconds, or None for no limit")


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
    if not models or not all(isinstance(model, Model) for model in models):
        raise TypeError("health takes the models to probe: health(model, ...)")
    blueprint = flask.Blueprint(name, __name__)

    @blueprint.get("/live")
    def live() -> dict[str, Any]:
        return liveness()

    @blueprint.get("/ready")
    def ready() -> tuple[dict[str, Any], int, dict[str, str]]:
        body, status = readiness(models)
        return body, status, {} if status == 200 else {"Retry-After": "1"}

    return blueprint


def _answer(error: InprocmlError) -> Any:
    """Let the application's own handler answer, if it has one; else answer as a problem document."""
    try:
        return flask.current_app.handle_user_exception(error)
    except InprocmlError as unhandled:
        if unhandled is not error:
            raise
        return problem_response(error)


def problem_response(error: InprocmlError) -> flask.Response:
    """Return ``error`` as application/problem+json; the full reason of a 500 goes to the log."""
    body, status, headers = problem(error)
    if status == 500:
        _tell(error)
    response = flask.jsonify(body)
    response.status_code = status
    response.mimetype = PROBLEM_JSON
    response.headers.update(headers)
    return response


_told: dict[str, tuple[float, int]] = {}  # mistake -> when it was last told, how often it was not since
QUIET_SECONDS = 1.0


def _tell(error: InprocmlError) -> None:
    """Log a mistake: in full the first time, then once a second: a broken store must not drown the log.

    Threads may race for the count; the log is then off by a line.
    """
    mistake = f"{type(error).__name__}: {error}"
    now = time.monotonic()
    last, silent = _told.get(mistake, (-math.inf, 0))
    if now - last < QUIET_SECONDS:
        _told[mistake] = (last, silent + 1)
        return
    first = mistake not in _told and len(_told) < 256
    if first or mistake in _told:
        _told[mistake] = (now, 0)
    more = f" (and {silent} more like it)" if silent else ""
    where = f"{flask.request.method} {flask.request.path}"
    _log.error("%s: %s%s", where, mistake, more, exc_info=error if first else None)


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
