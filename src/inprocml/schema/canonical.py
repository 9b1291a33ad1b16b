"""The one spelling of the JSON files that are ours, and the digest of bytes.

``strict_json.parse`` reads them: strictly, so that no two readers see two documents in the same bytes.
"""

from __future__ import annotations

import hashlib
import json

__all__ = ["canonical", "sha256"]


def canonical(document: object) -> bytes:
    """Write ``document`` in its only spelling: sorted keys, two-space indent, UTF-8, a final newline.

    Raises ``ValueError`` for NaN, infinities and lone surrogates, ``TypeError`` for what JSON lacks.
    """
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def sha256(content: bytes) -> str:
    """Digest in lower-case hexadecimal."""
    return hashlib.sha256(content).hexdigest()
