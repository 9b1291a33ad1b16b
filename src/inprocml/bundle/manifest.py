"""``manifest.json``: what a bundle says of itself, and the digests that hold it to its word.

Strict models that forbid what they do not know. The bytes on disk must equal the canonical form of what they
say, and ``digest`` covers all the rest, so one flipped bit anywhere is noticed before any value is believed.
File names, runtime and decoder come from closed tables: no name in a file becomes a path or an import.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

from inprocml.bundle.remedy import AGAIN, ANEW
from inprocml.errors import BundleError, Corrupt, Unsupported
from inprocml.schema import parse
from inprocml.schema.canonical import canonical, sha256
from inprocml.schema.sound import first_issue
from inprocml.sources import MANIFEST, VERSION_NAME

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "LINK",
    "MOST_GOLDEN",
    "SIGNATURE",
    "About",
    "Dataset",
    "FileEntry",
    "GoldenEntry",
    "Label",
    "Manifest",
    "ModelEntry",
    "OutputEntry",
    "Parity",
    "Provenance",
    "TransformEntry",
    "file_set",
    "parse_manifest",
    "seal",
]

FORMAT: Final = "inprocml-bundle"
FORMAT_VERSION: Final = 1
MOST_GOLDEN: Final = 16
"""Golden rows a bundle may have: they run before the first request is answered."""

SIGNATURE: Final = "signature.json"
"""The one file beside the manifest that the manifest cannot name: it is made later, about the manifest."""

_UNSEALED = "sha256:" + "0" * 64
_MODEL_FILE = {"onnx": "model.onnx", "torch": "weights.safetensors"}
_ALWAYS = frozenset({"transform.json", "golden.json", "baseline.json", "card.md"})

LINK: Final = r"^https?://[A-Za-z0-9._:\[\]-]+([/?#][!-;=?-\[\]_a-z~]*)?$"
"""Web addresses without user names, and without what ends a link or begins markup in Markdown and HTML."""

Label: TypeAlias = StrictBool | StrictInt | StrictStr
Hex: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Digest: TypeAlias = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
VersionName: TypeAlias = Annotated[str, Field(pattern=f"^{VERSION_NAME}$")]
Short: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Prose: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096)]
Link: TypeAlias = Annotated[str, Field(pattern=LINK, max_length=2048)]
Figures: TypeAlias = Annotated[dict[Short, float], Field(max_length=256)]
Amount: TypeAlias = Annotated[float, Field(ge=0)]
Count: TypeAlias = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )


class FileEntry(_Strict):
    """Digest and length in bytes of one file."""

    sha256: Hex
    size: Count


class ModelEntry(_Strict):
    """Which runtime computes the model, and its tensor names.

    ``module`` is the name under which the host registered a torch module; ``None`` for ONNX.
    ``inputs`` maps tensors of the transform to the model's inputs. ``output`` is the tensor the decoder
    reads, one of ``outputs``.
    """

    runtime: Literal["onnx", "torch"]
    module: Short | None
    inputs: Annotated[dict[Short, Short], Field(min_length=1, max_length=64)]
    outputs: Annotated[tuple[Short, ...], Field(min_length=1, max_length=64)]
    output: Short


class TransformEntry(_Strict):
    """Digest of the transform, width of its ``features`` (0 without), and the names of all its tensors."""

    digest: Digest
    width: Count
    tensors: Annotated[tuple[Short, ...], Field(min_length=1, max_length=4096)]


class OutputEntry(_Strict):
    """How scores become a prediction."""

    kind: Literal["classes", "regression"]
    labels: tuple[Label, ...] | None
    scores: Literal["probabilities", "logits"] | None


class GoldenEntry(_Strict):
    """How far outputs may be from the golden ones: ``absolute + relative * abs(golden)``."""

    rows: Annotated[int, Field(ge=1, le=MOST_GOLDEN)]
    absolute: Amount
    relative: Amount


class Parity(_Strict):
    """How far the packed model was from the trained one when it was packed.

    ``distance`` is the largest over ``rows`` sample rows, in units of ``unit``; ``flips`` counts rows
    whose most probable class differs; both are ``None`` when nothing could be measured, and
    ``reference`` says against what it was (or why it was not).
    """

    reference: Short
    rows: Count
    batches: tuple[Annotated[int, Field(ge=1)], ...]
    unit: Literal["probability", "relative"]
    distance: Amount | None
    limit: Amount
    flips: Count | None


class Dataset(_Strict):
    """The training table: its name if given, its digest (``packing.table_digest``) and its rows."""

    name: Short | None
    digest: Digest
    rows: Count


class Provenance(_Strict):
    """What the bundle was made with and from; no host, no path, and a person only if the author named one."""

    python: Short
    platform: Short
    packages: dict[Short, Short]
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")] | None
    author: Short | None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None
    dataset: Dataset


class About(_Strict):
    """What the author says of the model, as plain text; ``links`` are web addresses by name."""

    intended_use: Prose | None
    limits: Prose | None
    links: Annotated[dict[Short, Link], Field(max_length=32)]


class Manifest(_Strict):
    """The whole of ``manifest.json``."""

    format: Literal["inprocml-bundle"] = FORMAT
    format_version: Annotated[int, Field(ge=1, le=FORMAT_VERSION)] = FORMAT_VERSION
    name: Short
    version: VersionName
    created: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
    files: dict[str, FileEntry]
    model: ModelEntry
    transform: TransformEntry
    output: OutputEntry
    golden: GoldenEntry
    parity: Parity
    label_counts: tuple[Count, ...] | None
    metrics: Figures
    slices: Annotated[dict[Short, Figures], Field(max_length=256)]
    about: About
    provenance: Provenance
    digest: Digest = _UNSEALED


def model_file(runtime: str) -> str:
    """Return the file that holds the model of ``runtime``."""
    return _MODEL_FILE[runtime]


def file_set(runtime: str) -> frozenset[str]:
    """Return the exact names of the files beside the manifest."""
    return _ALWAYS | {_MODEL_FILE[runtime]}


def seal(manifest: Manifest) -> bytes:
    """Return the canonical bytes of ``manifest`` with its digest filled in."""
    rest = manifest.model_dump(mode="json", exclude={"digest"})
    return canonical(rest | {"digest": _digest(rest)})


def parse_manifest(content: bytes, *, where: str = MANIFEST) -> Manifest:
    """Check the bytes of ``manifest.json`` and return what they say.

    Raises ``Corrupt`` for damage, ``Unsupported`` for a newer format and plain ``BundleError`` when
    the file belongs to something else. The order matters: the digest is checked before the format
    version, so a damaged version number is damage and not a reason to upgrade.
    """
    document = _check_ours(parse(content, what=where), where)
    _check_digest(document, content, where)
    version = document.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise Unsupported(
            f"{where}: bundle format {version}, but this release reads up to {FORMAT_VERSION}. "
            "Upgrade inprocml (pip install --upgrade inprocml), or pack again with this release."
        )
    try:
        # from the bytes: only JSON mode lets strict models read arrays as tuples
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise Corrupt(f"{where}: {first_issue(error)}. {ANEW}") from error
    _check_sense(manifest, where)
    return manifest


def _check_ours(document: object, where: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise BundleError(
            f"{where} holds a JSON {type(document).__name__}, not an inprocml manifest. "
            "Point to a bundle made by inprocml.pack."
        )
    digest = document.get("digest")
    # one of the two may be damaged; a file that has neither was never ours
    if document.get("format") != FORMAT and not (
        isinstance(digest, str) and digest.startswith("sha256:") and "format_version" in document
    ):
        found = document.get("format")
        told = f"format {found[:40]!r}" if isinstance(found, str) else "no format name"
        raise BundleError(
            f"{where} has {told}, not {FORMAT!r}: this folder belongs to something else. "
            "Point to a bundle made by inprocml.pack."
        )
    return document


def _check_digest(document: dict[str, Any], content: bytes, where: str) -> None:
    rest = {key: value for key, value in document.items() if key != "digest"}
    try:
        sound = document.get("digest") == _digest(rest) and canonical(document) == content
    except (ValueError, RecursionError):  # lone surrogates have no canonical form
        sound = False
    if not sound:
        raise Corrupt(f"{where}: its digest does not match what it says: damaged or edited. {AGAIN}")
    if document.get("format") != FORMAT:
        raise BundleError(
            f"{where} names another format than {FORMAT!r}: this folder belongs to something else. "
            "Point to a bundle made by inprocml.pack."
        )


def _digest(rest: dict[str, Any]) -> str:
    return "sha256:" + sha256(canonical(rest))


def _check_sense(manifest: Manifest, where: str) -> None:
    """Check what types alone cannot say."""
    wanted = file_set(manifest.model.runtime)
    checks = (
        (set(manifest.files) == wanted, f"files must be exactly {', '.join(sorted(wanted))}"),
        (
            (manifest.model.module is None) == (manifest.model.runtime == "onnx"),
            "module goes with torch only",
        ),
        (
            set(manifest.model.inputs) <= set(manifest.transform.tensors)
            and len(set(manifest.model.inputs.values())) == len(manifest.model.inputs),
            "model.inputs must map tensors of the transform, each to an input of its own",
        ),
        (manifest.model.output in manifest.model.outputs, "model.output is not one of model.outputs"),
        (
            (manifest.output.kind == "classes")
            == (manifest.output.labels is not None)
            == (manifest.output.scores is not None),
            "labels and scores go with classes only",
        ),
        (
            "transform.json" in manifest.files
            and manifest.transform.digest == f"sha256:{manifest.files['transform.json'].sha256}",
            "transform.digest is not the digest of transform.json",
        ),
        (
            manifest.label_counts is None or len(manifest.label_counts) == len(manifest.output.labels or ()),
            "label_counts must have one count per label",
        ),
        (manifest.name.isprintable(), "name holds characters that cannot be printed"),
    )
    for sound, complaint in checks:
        if not sound:
            raise Corrupt(f"{where}: {complaint}. {ANEW}")
