"""Versions in an MLflow model registry, over its REST API: no MLflow package is needed here.

A version counts when its artifacts are a bundle's folder, or hold one called ``bundle``. It is called by the
registry's number. Artifacts come through the tracking server (``--serve-artifacts``, its default): a location
that the registry names is never opened as a path or a URL of its own.
API: mlflow.org/docs/latest/api_reference/rest-api.html and mlflow/server/handlers.py for the proxied
artifacts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cachetools import TTLCache

from inprocml.errors import BundleError, UnknownVersion
from inprocml.sources.cache import HostCache, Stamp, cache_key
from inprocml.sources.download import Readable, download_folder
from inprocml.sources.files import shown
from inprocml.sources.layout import MANIFEST, natural_key, unknown_version, valid_version
from inprocml.sources.registry import Registry
from inprocml.values import Version

__all__ = ["MLflow"]

_PLACES: Final = ("", "bundle")
_NO_BUNDLE_SECONDS: Final = 60.0


class MLflow:
    """The versions of the registered model ``name`` that are bundles; satisfies ``Source``.

    ``tracking_uri`` is the server's URL (default ``MLFLOW_TRACKING_URI``). User, password and token come from
    MLflow's own variables ``MLFLOW_TRACKING_USERNAME``, ``MLFLOW_TRACKING_PASSWORD`` and
    ``MLFLOW_TRACKING_TOKEN``, and are never shown. ``cache`` and ``keep`` are as for ``Remote``. Nothing is
    read before the first call in each process. Raises ``ValueError`` for a name that no registry can hold.
    """

    def __init__(
        self,
        name: str,
        *,
        tracking_uri: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        keep: int = 5,
    ) -> None:
        if not name or len(name) > 250 or any(mark in name for mark in "'\"`\\/:") or not name.isprintable():
            raise ValueError(
                "name must be a registered model's: printable, without quotes, slashes and colons"
            )
        if type(keep) is not int or keep < 1:
            raise ValueError("keep must be a whole number of versions, at least 1")
        self._name, self._uri, self._keep = name, tracking_uri, keep
        self._cache = None if cache is None else Path(cache)
        self._states: dict[int, _State] = {}

    def __repr__(self) -> str:
        return f"MLflow({self._name!r})"

    def versions(self) -> Sequence[Version]:
        """Return the registered versions that are bundles, oldest first.

        Raises ``BundleError`` when the server does not answer or knows no such model.
        """
        state = self._state()
        found = [self._version(state, told) for told in state.registry.versions(self._name)]
        return tuple(
            sorted(
                (version for version in found if version is not None),
                key=lambda found: natural_key(found.name),
            )
        )

    def aliases(self) -> Mapping[str, Version]:
        """Return what each of the registry's aliases means now; raises as ``versions``."""
        state = self._state()
        told = {
            alias: name for alias, name in state.registry.aliases(self._name).items() if valid_version(alias)
        }
        known = {version.name: version for version in self.versions()} if told else {}
        return {alias: known[name] for alias, name in told.items() if name in known}

    def fetch(self, name: str) -> Version:
        """Return version number ``name``, downloaded unless this host has it; raises as ``Remote.fetch``."""
        state = self._state()
        known = self.versions()
        version = next((version for version in known if version.name == name), None)
        if version is None:
            raise self._unknown(state, name, known)
        folder = state.folders[name, version.mark]
        where = f"{state.registry.where} model {self._name} version {name}"

        def fill(place: Path) -> Stamp:
            @contextmanager
            def opened(file: str) -> Iterator[Readable]:
                with state.registry.artifact(f"{folder}/{file}") as stream:
                    yield stream

            return download_folder(opened, place, where=where)

        path = state.cache.bring(version.path.parent.name, single=False, fill=fill)
        return Version(name, path, version.mark, own_name=True)

    def _unknown(self, state: _State, name: str, known: Sequence[Version]) -> UnknownVersion:
        where = f"{state.registry.where} model {self._name}"
        return unknown_version(where, name, [version.name for version in known])

    def _version(self, state: _State, told: Mapping[str, Any]) -> Version | None:
        """Return the version that the registry tells of, None where it is no bundle."""
        name = told.get("version")
        if told.get("status") != "READY" or not isinstance(name, str) or not valid_version(name):
            return None
        # a number is given again after its version was deleted
        mark = cache_key(
            str(told.get("creation_timestamp")), str(told.get("source")), str(told.get("run_id"))
        )
        with state.lock:
            if (name, mark) not in state.folders:
                if (name, mark) in state.strange:
                    return None
                folder = self._folder(state, name)
                if folder is None:
                    state.strange[name, mark] = True
                    return None
                state.folders[name, mark] = folder
        path = state.cache.path(cache_key(name, mark), single=False)
        return Version(name, path, mark, own_name=True)

    def _folder(self, state: _State, name: str) -> str | None:
        """Return where the bundle of version ``name`` lies among the proxied artifacts."""
        location = state.registry.location(self._name, name)
        if location is None:
            return None
        for place in _PLACES:
            folder = f"{location}/{place}".rstrip("/")
            if MANIFEST in state.registry.listed(folder):
                return folder
        return None

    def _state(self) -> _State:
        process = os.getpid()
        state = self._states.get(process)
        if state is None:
            uri = self._uri or os.environ.get("MLFLOW_TRACKING_URI", "")
            parts = urlsplit(uri)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise BundleError(
                    f"MLflow({self._name!r}): the tracking server's URL must begin with http:// or https://. "
                    "Give tracking_uri= or set MLFLOW_TRACKING_URI."
                )
            registry = Registry(uri)
            identity = f"mlflow\0{shown(parts)}\0{self._name}"
            where = f"{registry.where} model {self._name}"
            cache = HostCache(self._cache, identity, keep=self._keep, where=where)
            state = self._states.setdefault(process, _State(registry, cache))
        return state


class _State:
    """The server as this process sees it, and which versions are bundles; that never changes."""

    def __init__(self, registry: Registry, cache: HostCache) -> None:
        self.registry, self.cache = registry, cache
        self.lock = threading.Lock()
        self.folders: dict[tuple[str, str], str] = {}
        self.strange: TTLCache[tuple[str, str], bool] = TTLCache(1024, _NO_BUNDLE_SECONDS)
