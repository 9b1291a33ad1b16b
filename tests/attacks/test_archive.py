"""T5: whatever a zip can be but the one spelling of a bundle is refused, by name, and quickly."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bundle.kit import make_manifest, tiny_files

from inprocml import Bundle, BundleError, Corrupt, Untrusted
from inprocml.bundle.archive import spell
from inprocml.bundle.manifest import FileEntry, file_set, seal
from inprocml.bundle.parts import read_parts

FILES = tiny_files()
SIGNED = FILES | {"signature.json": b"not looked at here"}
SOUND = b"".join(spell(FILES))
NAMES = ["manifest.json", "baseline.json", "card.md", "golden.json", "model.onnx", "transform.json"]
START = {}
for _name in NAMES:
    START[_name] = SOUND.index(b"PK\3\4", max(START.values(), default=-1) + 1)
DIRECTORY = SOUND.index(b"PK\1\2")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("archive") / "x.inprocml"


def refused(path, content, match=None):
    path.write_bytes(content)
    with pytest.raises((Corrupt, Untrusted), match=match) as caught:
        read_parts(path, lambda *_: None)
    assert str(path) in str(caught.value)
    return str(caught.value)


def changed(at, old, new):
    assert SOUND[at : at + len(old)] == old
    return SOUND[:at] + new + SOUND[at + len(old) :]


def test_the_sound_one_passes(path):
    path.write_bytes(SOUND)
    assert read_parts(path, lambda *_: None).files["card.md"] == b"the bytes of card.md"


@pytest.mark.parametrize("files", [FILES, SIGNED], ids=["unsigned", "signed"])
def test_every_flipped_byte_is_refused(path, files):
    sound = b"".join(spell(files))
    passed = []
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            read_parts(path, lambda *_: None)
        except (Corrupt, Untrusted):
            continue
        passed.append(place)
    assert passed == []


def test_every_bit_of_every_header_is_refused(path):
    contents = {at for name in NAMES for at in range(START[name] + 30 + len(name), _end(name))}
    passed = []
    for place in set(range(len(SOUND))) - contents:
        for bit in range(8):
            damaged = bytearray(SOUND)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                read_parts(path, lambda *_: None)
            except (Corrupt, Untrusted):
                continue
            passed.append((place, bit))
    assert passed == []


def _end(name):
    return START[name] + 30 + len(name) + len(FILES[name])


def test_every_truncation_is_refused(path):
    for length in range(len(SOUND)):
        refused(path, SOUND[:length])


@given(junk=st.binary(min_size=1, max_size=60), place=st.integers(0, len(SOUND)))
@settings(max_examples=150)
def test_bytes_put_in_anywhere_are_refused(path, junk, place):
    """Prefixes, suffixes, and gaps between members; another copy of the same file as well."""
    refused(path, SOUND[:place] + junk + SOUND[place:])


def test_polyglots_and_doubles_are_refused(path):
    for content in (b"#!/bin/sh\n" + SOUND, b"\x89PNG" + SOUND, SOUND + b"<html>", SOUND + SOUND):
        refused(path, content)


def rezipped(edit=lambda entry: None, **arguments):
    """The same files by the standard library, for an ``edit`` of what is not in the format."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", **arguments) as zipped:
        warnings.simplefilter("ignore")  # a duplicate name
        for name in ["manifest.json", *sorted(file_set("onnx"))]:
            entry = zipfile.ZipInfo(name)
            stored = arguments.get("compression", zipfile.ZIP_STORED)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            edit(entry)
            zipped.writestr(entry, FILES[name], stored)
    return out.getvalue()


def test_the_standard_library_can_write_the_same_bytes():
    assert rezipped() == SOUND


def only(name, **attributes):
    def edit(entry):
        if entry.filename == name:
            for key, value in attributes.items():
                setattr(entry, key, value)

    return edit


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (rezipped(compression=zipfile.ZIP_DEFLATED), "manifest.json: it is compressed"),
        (rezipped(compression=zipfile.ZIP_LZMA), "manifest.json: it is compressed"),
        (rezipped(only("card.md", comment=b"hello")), "bytes, but with these members"),
        (rezipped(only("card.md", extra=b"\x99\x99\x00\x00")), "bytes, but with these members"),
        (rezipped(only("card.md", external_attr=0o120777 << 16)), "card.md: the directory at the end"),
        (rezipped(only("card.md", external_attr=0o40755 << 16)), "card.md: the directory at the end"),
        (rezipped(only("card.md", create_system=0)), "card.md: the directory at the end"),
        (rezipped(only("card.md", date_time=(2026, 1, 1, 0, 0, 0))), "card.md: its header is not spelt"),
        (rezipped(only("card.md", filename="CARD.md")), "card.md: another name"),
        (rezipped(only("card.md", filename="../d.md")), "card.md: another name"),
        (rezipped(only("card.md", filename="/ard.md")), "card.md: another name"),
        (rezipped(only("card.md", filename="golden.json")), "bytes, but with these members"),
        (rezipped(only("card.md", filename="baseline.json")), "bytes, but with these members"),
        (rezipped(only("model.onnx", filename="model.onnX")), "model.onnx: another name"),
        (rezipped(only("manifest.json", filename="manifest.jsoN")), "manifest.json: another name"),
    ],
)
def test_what_zip_allows_and_the_format_does_not(path, content, match):
    refused(path, content, match)


def test_comments_of_the_whole_file_are_refused(path):
    refused(path, SOUND[:-2] + struct.pack("<H", 5) + b"hello", "bytes, but with these members")
    refused(path, SOUND[:-2] + struct.pack("<H", 5), "last record")


@pytest.mark.parametrize(
    ("at", "old", "new", "match"),
    [
        (6, b"\0\0", b"\1\0", "card.md: it is encrypted"),
        (6, b"\0\0", b"\x08\0", "card.md: its size comes after"),
        (8, b"\0\0", b"\x08\0", "card.md: it is compressed"),
        (28, b"\0\0", b"\x04\0", "card.md: its header has extra fields"),
        (26, b"\x07\0", b"\x08\0", "card.md: another name"),
        (0, b"PK\3\4", b"PK\5\6", "card.md: no member begins"),
        (22, struct.pack("<I", 20), b"\xff\xff\xff\xff", "card.md: its header says 4294967295 bytes"),
    ],
)
def test_a_header_says_what_is_wrong_with_it(path, at, old, new, match):
    refused(path, changed(START["card.md"] + at, old, new), match)


def test_a_wrong_checksum_is_refused_even_where_both_headers_agree(path):
    card = FILES["card.md"]
    crc = struct.pack("<I", zlib.crc32(card))
    refused(path, SOUND.replace(crc, b"\0\1\2\3"), "card.md: its bytes do not match the checksum")
    # the checksum may be right for other bytes: the digest is not
    other = b"THE bytes of card.md"
    forged = SOUND.replace(crc, struct.pack("<I", zlib.crc32(other))).replace(card, other)
    refused(path, forged, "card.md: its bytes do not match the manifest's sha256")


def test_members_in_another_order_or_exchanged_are_refused(path):
    swapped = dict(FILES) | {"card.md": FILES["golden.json"], "golden.json": FILES["card.md"]}
    refused(path, b"".join(spell(swapped)))
    pieces = list(spell(FILES))
    pieces[2:4], pieces[4:6] = pieces[4:6], pieces[2:4]
    refused(path, b"".join(pieces), "baseline.json: another name")


def test_missing_and_extra_members_are_refused(path):
    for files in (
        {name: content for name, content in FILES.items() if name != "golden.json"},
        FILES | {"notes.txt": b"x"},
        FILES | {"model.pkl": b"x"},
        {name: content for name, content in FILES.items() if name != "manifest.json"},
    ):
        refused(path, b"".join(spell(files)))


def test_sizes_are_refused_before_anything_of_them_is_made(path):
    """The manifest's own header, the signature's, and a manifest that promises gigabytes."""
    huge = struct.pack("<II", 1 << 31, 1 << 31)
    size = struct.pack("<II", len(FILES["manifest.json"]), len(FILES["manifest.json"]))
    signed = b"".join(spell(FILES | {"signature.json": bytes(65537)}))
    entries = {name: FileEntry(sha256="0" * 64, size=1 << 40) for name in file_set("onnx")}
    promised = FILES | {"manifest.json": seal(make_manifest(files=entries))}
    # seal() does not know transform.json's digest: either complaint is one before any reading
    tracemalloc.start()
    refused(path, SOUND.replace(size, huge), "manifest.json: 2147483648 bytes, more than")
    refused(path, signed, "signature.json: 65537 bytes, more than")
    refused(path, b"".join(spell(promised)), "bytes, but with these members it must have")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_sparse_file_of_terabytes_costs_nothing(path):
    path.write_bytes(SOUND)
    with path.open("r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(Corrupt, match="more than the 4294967294 that a single file may have"):
        read_parts(path, lambda *_: None)


def test_what_is_no_archive_is_told_what_it_is(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(BundleError, match="is a file, but no bundle") as caught:
        Bundle.open(tmp_path / "x.txt")
    assert type(caught.value) is BundleError
    (tmp_path / "x.inprocml").write_bytes(b"")
    with pytest.raises(Corrupt, match="ends within the header of manifest.json"):
        Bundle.open(tmp_path / "x.inprocml")
    os.mkfifo(tmp_path / "pipe.inprocml")
    with pytest.raises(BundleError, match="neither a folder nor a file"):
        Bundle.open(tmp_path / "pipe.inprocml")


def test_a_file_written_over_while_it_is_read_is_refused_or_whole(store, add_version, tmp_path, monkeypatch):
    """Written over in place, the worst that can happen to an open file: the digests are of what was read."""
    add_version()
    one = Bundle.open(store / "1").save(tmp_path / "one.inprocml")
    other = Bundle.open(store / "2").save(tmp_path / "other.inprocml").read_bytes()
    sound, real = one.read_bytes(), os.read
    digest = Bundle.open(one).digest
    for when in range(12):
        one.write_bytes(sound)
        calls = []

        def read(descriptor, count, when=when, calls=calls):
            calls.append(count)
            if len(calls) == when:
                one.write_bytes(other)
            return real(descriptor, count)

        monkeypatch.setattr(os, "read", read)
        try:
            opened = Bundle.open(one)
        except (Corrupt, Untrusted):
            continue
        finally:
            monkeypatch.undo()
        assert opened.digest == digest or when <= 1
