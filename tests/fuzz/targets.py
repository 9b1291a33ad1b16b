"""Coverage-guided fuzzing of all that reads a stranger's bytes. Run: ``make fuzz-reader SECONDS=3600``.

``python -m tests.fuzz.targets NAME SEEDS [libFuzzer's options]``: NAME is one of ``TARGETS``, SEEDS a folder
with a bundle. What may leave a reader is an ``InprocmlError`` and nothing else. Inputs are mutated as bytes
and, where they are JSON, as JSON; digests are made right again, for a forger would. Python's audit events
tell of any attempt to write outside the scratch folder, to start a process or to reach the network.

To add a reader: a function of bytes, and one line in ``TARGETS``.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["inprocml"]):
    from tests.bundle.kit import forge, resealed

    from inprocml import Bundle, InprocmlError
    from inprocml.backends.audit import audit_model
    from inprocml.bundle.manifest import parse_manifest
    from inprocml.sources.history import Entry, Target, parse_entry

FILES = ["transform.json", "golden.json", "baseline.json", "card.md", "model.onnx", "manifest.json"]
STRANGE = [
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    2**63,
    10**400,
    1e308,
    0.5,
    True,
    None,
    "",
    "\ud800",
    "e\u0301",
    "../x",
]
STRANGE += ["a" * 5000, "numeric@2", "localtime", "sha256:", [], {}, [[]], [0] * 100, {"kind": "flag@1"}]
FORBIDDEN = {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect"}

scratch = Path(tempfile.mkdtemp(prefix="inprocml-fuzz-"))


def whole(content: bytes) -> None:
    """A bundle whose file, chosen by the first byte, holds the rest."""
    if not content:
        return
    name, folder = FILES[content[0] % len(FILES)], scratch / "bundle"
    shutil.copytree(sys.argv[2], folder, dirs_exist_ok=True)
    if name == "manifest.json":
        (folder / name).write_bytes(sealed(content[1:]))
    else:
        forge(folder, **{name.replace(".", "_"): content[1:]})
    audit_model(Bundle.open(folder).model)


def manifest(content: bytes) -> None:
    parse_manifest(sealed(content), where="manifest.json")


def sealed(content: bytes) -> bytes:
    try:
        return resealed(json.loads(content))
    except (ValueError, AttributeError, RecursionError):
        return content


def history(content: bytes) -> None:
    with contextlib.suppress(ValueError):  # the canonical form, without which the reader looks no further
        content = Entry.model_validate_json(content).to_json()
    parse_entry(content, serial=1, where="00000001.json")


def onnx(content: bytes) -> None:
    audit_model(content, allow_loops=bool(content) and content[-1] % 2 == 0)


def archive(content: bytes) -> None:
    """A bundle in a single file; its digests are left wrong: the way to them is what is tried."""
    path = scratch / "1.inprocml"
    path.write_bytes(content)
    Bundle.open(path)


TARGETS = {
    "archive": archive,
    "whole": whole,
    "manifest": manifest,
    "history": history,
    "onnx": onnx,
}


def seeds(name: str, folder: Path) -> list[bytes]:
    """Real documents to begin with."""
    if name == "whole":
        return [bytes([place]) + (folder / one).read_bytes() for place, one in enumerate(FILES)]
    if name == "archive":
        Bundle.open(folder).save(scratch / "seed.inprocml")
        return [(scratch / "seed.inprocml").read_bytes()]
    if name == "history":
        state = {"late": Target(version="1", digest="sha256:" + "0" * 64)}
        entry = Entry(
            serial=1, previous=None, when="2026-01-01T00:00:00.000000Z", who="a", why="b", action="move",
            alias="late", aliases=state, trials={},
        )  # fmt: skip
        return [entry.to_json()]
    return [(folder / {"onnx": "model.onnx"}.get(name, "manifest.json")).read_bytes()]


def mutated(prefix: int, content: bytes, longest: int, seed: int) -> bytes:
    """Change one part of a JSON document; bytes that are none, and every second document, as bytes."""
    chance = random.Random(seed)
    try:
        document = json.loads(content[prefix:])
    except (ValueError, RecursionError):
        document = None
    if not list(places(document)) or chance.random() < 0.5:
        return bytes(atheris.Mutate(content, longest))
    inside, key = chance.choice(list(places(document)))
    how = chance.randrange(4)
    if how == 0:
        del inside[key]
    elif how == 1 and isinstance(inside, list):
        inside *= chance.choice([2, 3, 50])
    elif how == 2:
        inside[key] = chance.choice([part[one] for part, one in places(document)])
    else:
        inside[key] = chance.choice(STRANGE)
    try:
        return content[:prefix] + json.dumps(document).encode()[: longest - prefix]
    except (ValueError, RecursionError):  # a part was put into itself
        return content


def places(document: object):
    """Every place in a document: what holds it, and its key."""
    parts = [document] if isinstance(document, dict | list) else []
    for part in parts:
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            yield part, key
            if isinstance(part[key], dict | list) and len(parts) < 1000:
                parts.append(part[key])


def watch(event: str, arguments: tuple) -> None:
    """Any write outside, any process, any connection ends the run: it passes through no handler."""
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    inside = writes and str(arguments[0]).startswith((str(scratch), "/dev/null"))
    if event in FORBIDDEN or (writes and not inside):
        os.write(2, f"ESCAPED: {event} {arguments!r}\n".encode())
        os._exit(99)


def run(read, content: bytes) -> None:
    try:
        read(content)
    except InprocmlError as refused:
        assert len(str(refused)) < 5_000, "a refusal that quotes what it refuses"


def main() -> None:
    name, bundle = sys.argv[1], Path(sys.argv[2])
    corpus = scratch / "corpus"
    corpus.mkdir()
    for place, content in enumerate(seeds(name, bundle)):
        (corpus / str(place)).write_bytes(content)
    mutate = functools.partial(mutated, int(name == "whole"))
    options = [sys.argv[0], str(corpus), *sys.argv[3:]]
    atheris.Setup(
        options,
        functools.partial(run, TARGETS[name]),
        custom_mutator=mutate,
    )
    sys.addaudithook(watch)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
