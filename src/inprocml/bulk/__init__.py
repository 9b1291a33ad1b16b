"""Many rows: read block by block from tables, iterators and files, and answers written to a file.

pyarrow is imported here alone, and only once a file is read or written.
"""

from __future__ import annotations

from inprocml.bulk.answers import Answers
from inprocml.bulk.block import Block, Input, after
from inprocml.bulk.opening import is_held, open_input
from inprocml.bulk.parts import Note, Parts, finished
from inprocml.bulk.sieve import Sifted, digest_of, sift

__all__ = [
    "Answers",
    "Block",
    "Input",
    "Note",
    "Parts",
    "Sifted",
    "after",
    "digest_of",
    "finished",
    "is_held",
    "open_input",
    "sift",
]
