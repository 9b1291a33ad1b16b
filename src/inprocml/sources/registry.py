"""The few calls of MLflow's REST API that following a model takes, with the standard library."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from inprocml.errors import BundleError
from inprocml.schema import parse
from inprocml.sources.download import Readable, read_head
from inprocml.sources.files import attempt, shown

__all__ = ["Registry"]

_API: Final = "api/2.0/mlflow"
_ARTIFACTS: Final = "api/2.0/mlflow-artifacts/artifacts"
_PROXIED: Final = "mlflow-artifacts"
_ANSWER_CAP: Final = 16 << 20  # bytes
_PAGE, _MOST_PAGES = 1000, 100
_TIMEOUT_SECONDS: Final = 30.0


class Registry:
    """The tracking server at ``uri``; every call raises ``BundleError`` that names it without its secrets."""

    def __init__(self, uri: str) -> None:
        from urllib.request import build_opener  # with all of HTTP, which others need not load

        parts = urlsplit(uri)
        self.where = shown(parts)
        self._base = self.where
        self._credentials = _credentials(parts.username, parts.password)
        self._opener = build_opener()

    def versions(self, model: str) -> list[dict[str, Any]]:
        """Return what the registry says of every version of ``model``."""
        found: list[dict[str, Any]] = []
        page: str | None = ""
        for _ in range(_MOST_PAGES):
            query = {"filter": f"name='{model}'", "max_results": str(_PAGE)} | (
                {"page_token": page} if page else {}
            )
            answer = self._asked("model-versions/search", query)
            told = _listed(answer.get("model_versions"))
            found += [version for version in told if version.get("name") == model]
            page = answer.get("next_page_token")
            if not isinstance(page, str) or not page:
                break
        return found

    def aliases(self, model: str) -> dict[str, str]:
        """Return alias -> number of the version."""
        answer = self._asked("registered-models/get", {"name": model})
        told = _listed(_part(answer, "registered_model").get("aliases"))
        return {str(entry.get("alias")): str(entry.get("version")) for entry in told}

    def location(self, model: str, version: str) -> str | None:
        """Return where a version's artifacts lie behind the tracking server, None if they are elsewhere."""
        answer = self._asked("model-versions/get-download-uri", {"name": model, "version": version})
        told = str(answer.get("artifact_uri"))
        if not told.startswith("runs:/"):
            return _proxied(told)
        run, _, below = told.removeprefix("runs:").strip("/").partition("/")
        try:
            answer = self._json(f"{_API}/runs/get?{urlencode({'run_id': run})}")
        except FileNotFoundError:
            return None  # the run was deleted, and its artifacts with it
        whole = _part(_part(answer, "run"), "info").get("artifact_uri")
        return _proxied(f"{whole}/{below}")

    def listed(self, folder: str) -> list[str]:
        """Return the names of the artifacts in ``folder``."""
        try:
            answer = self._json(f"{_ARTIFACTS}?{urlencode({'path': folder})}")
        except FileNotFoundError:
            return []
        return [str(entry.get("path")).rpartition("/")[2] for entry in _listed(answer.get("files"))]

    @contextmanager
    def artifact(self, path: str) -> Iterator[Readable]:
        """Open one artifact to be read in order; raises ``FileNotFoundError`` too."""
        response = attempt(self.where, self._open, f"{_ARTIFACTS}/{quote(path)}")
        try:
            yield _Guarded(response, self.where)
        finally:
            response.close()

    def _asked(self, call: str, query: Mapping[str, str]) -> dict[str, Any]:
        fault = ""
        try:
            return self._json(f"{_API}/{call}?{urlencode(query)}")
        except FileNotFoundError:
            fault = f"{self.where} knows no such model or version ({call}). Register it, or mend the name."
        raise BundleError(fault)

    def _json(self, path: str) -> dict[str, Any]:
        response = attempt(self.where, self._open, path)
        try:
            content = attempt(self.where, read_head, response, _ANSWER_CAP)
        finally:
            response.close()
        answer = parse(content, what=self.where) if len(content) <= _ANSWER_CAP else None
        if not isinstance(answer, dict):
            raise BundleError(f"{self.where} gave no answer of MLflow's REST API. Mend the tracking URI.")
        return answer

    def _open(self, path: str) -> Any:
        from urllib.error import HTTPError
        from urllib.request import Request

        request = Request(f"{self._base}/{path}")  # noqa: S310  (http and https alone, see MLflow)
        if self._credentials:
            # not sent on to where a redirection leads
            request.add_unredirected_header("Authorization", self._credentials)
        try:
            return self._opener.open(request, timeout=_TIMEOUT_SECONDS)
        except HTTPError as error:
            error.close()
            if error.code == 404:
                raise FileNotFoundError from None
            raise


def _part(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a member that is an object; an empty one for anything else a server may have put there."""
    told = answer.get(name)
    return told if isinstance(told, dict) else {}


def _listed(told: object) -> list[dict[str, Any]]:
    """Return the objects of a list, none for anything else."""
    return [entry for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []


class _Guarded:
    """A response whose errors tell no secrets."""

    def __init__(self, response: Any, where: str) -> None:
        self._response, self._where = response, where

    def read(self, size: int, /) -> bytes:
        content: bytes = attempt(self._where, self._response.read, size)
        return content


def _proxied(location: str) -> str | None:
    """Return the path of a location behind the tracking server, None for any other."""
    parts = urlsplit(location)
    path = unquote(parts.path).strip("/")
    steps = path.split("/")
    return path if parts.scheme == _PROXIED and all(steps) and not {".", ".."} & set(steps) else None


def _credentials(user: str | None, password: str | None) -> str:
    """What goes into ``Authorization``: of the URL, else of MLflow's own variables."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return f"Bearer {token}"
    name = unquote(user or "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    if not name:
        return ""
    word = unquote(password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    return "Basic " + base64.b64encode(f"{name}:{word}".encode()).decode()
