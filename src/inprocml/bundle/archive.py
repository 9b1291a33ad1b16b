"""A bundle as one file: a zip of its files, not compressed, spelt in the only way there is.

A zip says everything twice, and readers differ in which they believe. Here nothing is believed: the manifest
is the first member, and once it is read, every other byte of the file but the members' contents is known. The
reader writes those bytes itself and compares. So there is no room for duplicates, prefixes, gaps, comments,
links, compression, or anything else. PKWARE's APPNOTE 6.3.10 is the format of which this is a small part.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from inprocml.bundle.folder import CAPS, Regular
from inprocml.bundle.manifest import SIGNATURE, Manifest, file_set, parse_manifest
from inprocml.bundle.remedy import AGAIN
from inprocml.errors import Corrupt, PackError
from inprocml.schema.canonical import sha256
from inprocml.sources import MANIFEST

__all__ = ["ARCHIVE", "LARGEST", "read_archive", "spell"]

ARCHIVE: Final = ".inprocml"
LARGEST: Final = 0xFFFF_FFFE
"""Bytes an archive may have: beyond, zip needs its 64-bit fields, which are written in several ways."""

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION, _UNIX = 20, 3
_MIDNIGHT, _FIRST_DAY = 0, 0x0021  # 1980-01-01: a file's time would give one bundle many spellings
_REGULAR = 0o100644 << 16
_REZIP = "Make the file with Bundle.save; other tools write zips that are not spelt as the format says."


@dataclass(frozen=True, slots=True)
class _Member:
    """What the headers say of one file."""

    name: str
    crc: int
    size: int

    def local(self) -> bytes:
        name = self.name.encode("ascii")
        return _LOCAL.pack(b"PK\3\4", *self._shared(), len(name), 0) + name

    def central(self, offset: int) -> bytes:
        name = self.name.encode("ascii")
        made = _UNIX << 8 | _VERSION
        tail = (len(name), 0, 0, 0, 0, _REGULAR, offset)
        return _CENTRAL.pack(b"PK\1\2", made, *self._shared(), *tail) + name

    def _shared(self) -> tuple[int, ...]:
        return _VERSION, 0, 0, _MIDNIGHT, _FIRST_DAY, self.crc, self.size, self.size


def spell(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """Yield the archive of ``files`` piece by piece; equal files give equal bytes.

    Raises ``PackError`` before the first piece for files that are more than zip holds.
    """
    size = _size({name: len(content) for name, content in files.items()})
    if size > LARGEST:
        raise PackError(
            f"the bundle would be a file of {size} bytes, and {LARGEST} is the most. Keep it as a folder."
        )
    members = []
    for name in _order(files):
        members.append(_Member(name, zlib.crc32(files[name]), len(files[name])))
        yield members[-1].local()
        yield files[name]
    yield b"".join(_directory(members))


def read_archive(
    stream: Regular, admit: Callable[[Manifest, bytes, bytes | None], None]
) -> tuple[Manifest, bytes, bytes | None, dict[str, bytes]]:
    """Read an archive once, from its first byte to its last.

    Returns the manifest, its bytes, those of the signatures and name -> bytes of the other files. ``admit``
    is called before anything large is read. Raises ``Corrupt`` that names the file and the member, and what
    ``admit`` and ``parse_manifest`` raise.
    """
    if stream.size > LARGEST:
        raise _fault(stream, f"{stream.size} bytes, more than the {LARGEST} that a single file may have")
    member, spelt = _take(stream, MANIFEST)
    manifest = parse_manifest(spelt, where=f"{stream.path}: {MANIFEST}")
    members, signature = [member], None
    if stream.peeked(_LOCAL.size + len(SIGNATURE)).endswith(SIGNATURE.encode()):
        member, signature = _take(stream, SIGNATURE)
        members.append(member)
    _check_size(stream, manifest, members)
    admit(manifest, spelt, signature)
    files = {}
    for name in sorted(file_set(manifest.model.runtime)):
        member, files[name] = _take(stream, name, manifest.files[name].size)
        if sha256(files[name]) != manifest.files[name].sha256:
            raise _fault(stream, f"{name}: its bytes do not match the manifest's sha256")
        members.append(member)
    _check_directory(stream, members)
    return manifest, spelt, signature, files


def _take(stream: Regular, name: str, size: int | None = None) -> tuple[_Member, bytes]:
    """Read the next member, which must be ``name``; ``size`` is None where the header alone tells it."""
    header = stream.take(_LOCAL.size + len(name))
    if len(header) < _LOCAL.size + len(name):
        raise _fault(stream, f"it ends within the header of {name}")
    crc, told = _LOCAL.unpack_from(header)[6:8]
    member = _Member(name, crc, told if size is None else size)
    if member.local() != header:
        raise _fault(stream, f"{name}: {_why(header, member)}", _REZIP)
    if member.size > min(CAPS[name], stream.size):  # before anything of that size is made
        raise _fault(stream, f"{name}: {member.size} bytes, more than are there or allowed")
    content = stream.take(member.size)
    if len(content) != member.size or zlib.crc32(content) != crc:
        raise _fault(stream, f"{name}: its bytes do not match the checksum of its header")
    return member, content


def _why(header: bytes, member: _Member) -> str:
    """Say in which way a header is not the only one that is allowed."""
    magic, _, flags, method, *_, size, names, extra = _LOCAL.unpack_from(header)
    reasons = (
        (magic != b"PK\3\4", "no member begins where it should"),
        (flags & 1, "it is encrypted"),
        (flags & 8, "its size comes after its content (a data descriptor)"),
        (method, "it is compressed"),
        (names != len(member.name), "another name is in its place"),
        (header[_LOCAL.size :] != member.name.encode("ascii"), "another name is in its place"),
        (extra, "its header has extra fields"),
        (size != member.size, f"its header says {size} bytes, not {member.size}"),
    )
    return next((reason for wrong, reason in reasons if wrong), "its header is not spelt as it must be")


def _check_size(stream: Regular, manifest: Manifest, members: list[_Member]) -> None:
    sizes = {name: entry.size for name, entry in manifest.files.items()}
    size = _size(sizes | {member.name: member.size for member in members})
    if size != stream.size:
        raise _fault(stream, f"{stream.size} bytes, but with these members it must have {size}")


def _check_directory(stream: Regular, members: list[_Member]) -> None:
    *entries, end = _directory(members)
    for member, entry in zip(members, entries, strict=True):
        if stream.take(len(entry)) != entry:
            raise _fault(
                stream,
                f"{member.name}: the directory at the end of the file says otherwise than the member itself",
                _REZIP,
            )
    if stream.take(len(end) + 1) != end:
        raise _fault(stream, "its last record is not the one that closes these members", _REZIP)


def _directory(members: list[_Member]) -> Iterator[bytes]:
    """Yield the central directory entry by entry, then the record that ends the file."""
    offset = length = 0
    for member in members:
        entry = member.central(offset)
        yield entry
        offset += _LOCAL.size + len(member.name) + member.size
        length += len(entry)
    yield _END.pack(b"PK\5\6", 0, 0, len(members), len(members), length, offset, 0)


def _size(sizes: Mapping[str, int]) -> int:
    headers = sum(_LOCAL.size + _CENTRAL.size + 2 * len(name) for name in sizes)
    return headers + sum(sizes.values()) + _END.size


def _order(names: Iterable[str]) -> list[str]:
    """The manifest, what was signed about it, and the rest by name."""
    return sorted(names, key=lambda name: (name != MANIFEST, name != SIGNATURE, name))


def _fault(stream: Regular, why: str, remedy: str = AGAIN) -> Corrupt:
    return Corrupt(f"{stream.path}: {why}. {remedy}")
