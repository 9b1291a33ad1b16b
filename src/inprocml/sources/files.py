"""Files behind a URL, through fsspec: listed, opened, and their errors told without the URL's secrets.

Every error of a file system that is not ours is replaced by one that names the URL without user, password and
query, and the kind of failure; the original, whose text may hold all of these, is not even kept as its cause.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import SplitResult, urlsplit

from inprocml.errors import BundleError, InprocmlError
from inprocml.sources.download import Readable, read_head

__all__ = ["Files", "attempt", "shown"]

P = ParamSpec("P")
T = TypeVar("T")

_INDEXED: Final = frozenset({"http", "https"})
_INSTALL: Final = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp",
    "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs",
}  # fmt: skip
_CONNECT_SECONDS, _READ_SECONDS = 10, 30

_TELLING: Final = (
    "ETag", "etag", "md5Hash", "content_md5", "Content-MD5",
    "LastModified", "Last-Modified", "last_modified", "mtime", "updated", "created",
)  # fmt: skip
"""What file systems call that which changes with a file's content, the surest first."""

_process = 0  # the last one that used fsspec's event loop


class Files:
    """The files below ``url``, for one process."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        parts = urlsplit(url)
        self.where = shown(parts)
        self.indexed = parts.scheme in _INDEXED
        self._query = f"?{parts.query}" if self.indexed and parts.query else ""
        plain = url.partition("#")[0].partition("?")[0] if self.indexed else url
        self._files, root = attempt(self.where, _opened, parts.scheme, plain, dict(options))
        self._root = root.rstrip("/")

    def found(self, folder: str = "") -> dict[str, tuple[int | None, str]]:
        """Return every file below ``folder``: path -> size in bytes and what changes with its content."""
        root = self._path(folder)
        listed = attempt(self.where, self._files.find, root, detail=True)
        start = len(root) + 1
        return {name[start:]: _identity(details) for name, details in listed.items() if len(name) >= start}

    def linked(self, folder: str = "") -> list[str]:
        """Return the names to which the web page of ``folder`` links; folders end with a slash."""
        page = self._path(folder).partition("?")[0] + "/" + self._query
        links = attempt(self.where, self._files.ls, page, detail=False)
        # a link is given with the page before it, query and all
        ends = (str(link).removeprefix(page.rstrip("/") + "/") for link in links)
        plain = [end.partition("?")[0].partition("#")[0] for end in ends]
        return [link.rstrip("/").rpartition("/")[2] + ("/" if link.endswith("/") else "") for link in plain]

    def identity(self, name: str = "") -> tuple[int | None, str]:
        """Return one file's size in bytes and what changes with its content."""
        return _identity(attempt(self.where, self._files.info, self._path(name)))

    def head(self, name: str, cap: int) -> bytes:
        """Return at most ``cap`` bytes of one file, and one."""
        with self.open(name) as stream:
            return read_head(stream, cap)

    @contextmanager
    def open(self, name: str = "") -> Iterator[Readable]:
        """Open one file to be read in order; raises ``FileNotFoundError`` or ``BundleError``."""
        # block_size=0: one request for the whole, with no need of servers that can give a part
        how: dict[str, Any] = {"block_size": 0} if self.indexed else {"cache_type": "readahead"}
        stream = attempt(self.where, self._files.open, self._path(name), "rb", **how)
        try:
            yield _Guarded(stream, self.where)
        finally:
            attempt(self.where, stream.close)

    def _path(self, name: str) -> str:
        return (f"{self._root}/{name}" if name else self._root) + self._query


class _Guarded:
    """A stream whose errors tell no secrets."""

    def __init__(self, stream: Any, where: str) -> None:
        self._stream, self._where = stream, where

    def read(self, size: int, /) -> bytes:
        content: bytes = attempt(self._where, self._stream.read, size)
        return content


def shown(parts: SplitResult) -> str:
    """Return a URL without user, password, query and fragment."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def attempt(where: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return ``call(...)``; raises ``FileNotFoundError`` or ``BundleError`` that name ``where``, no secret."""
    fault: Exception
    try:
        return call(*args, **kwargs)
    except InprocmlError:
        raise
    except FileNotFoundError:
        fault = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where)
    except Exception as error:  # noqa: BLE001  each file system has a tree of its own
        fault = BundleError(
            f"{where} cannot be read ({_reason(error)}). Check that the server is up and that this process "
            "may read it: its credentials belong in the environment or in Remote(url, **options)."
        )
    raise fault  # outside, or the original would hang on as its context


def _reason(error: Exception) -> str:
    """The kind of an error, never its text: that may quote a URL or a header."""
    told = [type(error).__name__]
    status = getattr(error, "status", None)
    if isinstance(status, int):
        told.append(f"HTTP status {status}")
    if isinstance(error, OSError) and isinstance(error.errno, int):
        told.append(os.strerror(error.errno))
    return ", ".join(told)


def _opened(scheme: str, url: str, options: dict[str, Any]) -> tuple[Any, str]:
    try:
        import fsspec
        from fsspec.core import url_to_fs
    except ImportError:
        raise BundleError(f"{scheme}:// needs fsspec: pip install 'inprocml[remote]'.") from None
    _after_fork()
    if scheme not in fsspec.available_protocols():
        raise BundleError(f"fsspec knows no {scheme[:20]!r} URLs. Mend the URL, or install what adds them.")
    package = _INSTALL.get(scheme)
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError:
        raise BundleError(
            f"{scheme}:// needs {package or 'a package of its own'}: pip install {package or scheme}."
        ) from None
    files, root = url_to_fs(url, use_listings_cache=False, **_patient(scheme, options))
    return files, str(root)


def _patient(scheme: str, options: dict[str, Any]) -> dict[str, Any]:
    """Give up on a server that does not answer; the defaults of some wait for ever."""
    if scheme in _INDEXED:
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS)
        options["client_kwargs"] = {"timeout": timeout} | dict(options.get("client_kwargs") or {})
    elif scheme in {"s3", "s3a"}:
        limits = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
        options["config_kwargs"] = limits | dict(options.get("config_kwargs") or {})
    return options


def _after_fork() -> None:
    """Let fsspec start a thread of its own here; a fork that runs no hooks leaves it with its parent's."""
    global _process  # noqa: PLW0603
    from fsspec import asyn

    if _process not in {0, os.getpid()}:
        asyn.reset_lock()
    _process = os.getpid()


def _identity(details: Mapping[str, Any]) -> tuple[int | None, str]:
    size = details.get("size")
    tell = next((repr(details[key]) for key in _TELLING if details.get(key)), "")
    return (size if isinstance(size, int) else None), f"{size}.{tell}"
