"""What a picture file says of itself, told from its structure before any decoder sees it.

Parse, audit, construct: sizes are judged from the header, and the file that the decoder of a JPEG or a PNG
gets holds only what pictures are made of. Comments, colour profiles, text, thumbnails and further pictures
are left out, so neither their size nor their faults can cost anything; the one thing read of them is the EXIF
orientation. Formats: JPEG (ITU T.81), PNG (W3C, third edition), WebP (RFC 9649), BMP (uncompressed).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inprocml.schema import Refused

__all__ = ["FORMATS", "PictureFile", "audited", "check_rows"]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")

_MOST_SEGMENTS, _MOST_CHUNKS = 1000, 20_000
_MOST_SCANS = 32  # each scan of a progressive JPEG costs a pass over the whole picture, however short it is
_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_PIECE = 2**18  # bytes
_ADAM7 = (  # first column, first row, column step, row step of each pass of an interlaced PNG
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_STILL = "must be a still picture"


@dataclass(frozen=True, slots=True)
class PictureFile:
    """``content`` is what a decoder may see; ``orientation`` is EXIF's, 1 to 8, where 1 is upright."""

    format: str
    width: int
    height: int
    orientation: int
    content: bytes


def audited(content: bytes) -> PictureFile:
    """Return the file with its header read; raises ``Refused``. Tells the format from the bytes alone."""
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    if content.startswith(_PNG_START):
        return _png(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp(content)
    if content.startswith(b"BM"):
        return _bmp(content)
    raise Refused(f"must be a picture in one of the formats {', '.join(FORMATS)}")


def _broken(name: str) -> Refused:
    return Refused(f"must be a whole {name} file: it is cut short or corrupt")


def _jpeg(content: bytes) -> PictureFile:
    kept, frame, orientation = [b"\xff\xd8"], None, 1
    for marker, start, body in _jpeg_segments(content):
        whole = b"\xff" + bytes([marker]) + content[start : start + 2] + body
        if marker == 0xDA:
            if frame is None or content.find(b"\xff\xd9", start) < 0:
                raise _broken("JPEG")
            if content.count(b"\xff\xda", start) >= _MOST_SCANS:
                raise Refused(f"must be a JPEG of at most {_MOST_SCANS} scans")
            kept.append(b"\xff\xda" + content[start:])
            return PictureFile("JPEG", *frame, orientation, b"".join(kept))
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            if frame is not None:
                raise _broken("JPEG")
            frame = _jpeg_frame(marker, body)
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _orientation(body[6:])
            continue
        if marker in {0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD} or _says_colours(marker, body):
            kept.append(whole)
    raise _broken("JPEG")


def _says_colours(marker: int, body: bytes) -> bool:
    """Say whether this segment tells a decoder what the components mean."""
    return (marker == 0xE0 and body.startswith(b"JFIF\0")) or (marker == 0xEE and body.startswith(b"Adobe"))


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield marker, the place of its length, and its body, up to the first scan."""
    start = 2
    for _ in range(_MOST_SEGMENTS):
        found = _JPEG_MARKER.match(content, start)
        if found is None or found[1][0] < 0xC0 or 0xD0 <= found[1][0] <= 0xD9:
            raise _broken("JPEG")
        start = found.end()
        size = int.from_bytes(content[start : start + 2], "big")
        if size < 2 or start + size > len(content):
            raise _broken("JPEG")
        yield found[1][0], start, content[start + 2 : start + size]
        start += size
    raise Refused(f"must be a JPEG of at most {_MOST_SEGMENTS} segments")


def _jpeg_frame(marker: int, body: bytes) -> tuple[int, int]:
    """Return width and height."""
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise _broken("JPEG")
    if marker not in {0xC0, 0xC1, 0xC2} or body[0] != 8:
        raise Refused("must be a baseline or progressive JPEG of 8 bits per channel")
    if body[5] not in {1, 3}:
        raise Refused("must be a JPEG in grey or RGB colours, not CMYK")
    return int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")


def _png(content: bytes) -> PictureFile:
    kept, orientation = [_PNG_START], 1
    if content[8:16] != b"\0\0\0\rIHDR":
        raise _broken("PNG")
    for name, chunk in _png_chunks(content):
        if name == b"acTL":
            raise Refused(_STILL)
        if name == b"eXIf":
            orientation = _orientation(chunk[8:-4])
        elif name in _PNG_KEPT:
            if name == b"tRNS" and content[25] == 0 and content[24] < 8:
                raise Refused("must be a PNG of 8 bits per channel where a grey is transparent")
            kept.append(chunk)
        elif not name[0] & 32:  # a capital: no picture without it, says the format
            raise _broken("PNG")
    return PictureFile("PNG", *_png_size(content), orientation, b"".join(kept))


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each chunk's name and the whole of it, up to the end mark."""
    start = 8
    for _ in range(_MOST_CHUNKS):
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        if end > len(content):
            raise _broken("PNG")
        name, chunk = content[start + 4 : start + 8], content[start:end]
        if name in _PNG_KEPT and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise _broken("PNG")
        yield name, chunk
        if name == b"IEND":
            return
        start = end
    raise Refused(f"must be a PNG of at most {_MOST_CHUNKS} chunks")


def _png_size(content: bytes) -> tuple[int, int]:
    if content[24] > 8:
        raise Refused("must be a PNG of 8 bits per channel, not 16")
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def check_rows(file: PictureFile) -> None:
    """Raise ``Refused`` if a PNG's compressed stream ends before its last row.

    Pillow leaves such rows black. The stream is unpacked once more, a piece at a time, and thrown away: call
    this when the number of pixels has been judged.
    """
    header = file.content[16:29]
    bits = header[8] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(header[9], 0)
    rest = 0
    for x, y, across, down in _ADAM7 if header[12] else ((0, 0, 1, 1),):
        width, height = -((x - file.width) // across), -((y - file.height) // down)
        rest += height * (1 + (width * bits + 7) // 8) if width > 0 and height > 0 else 0
    packed = b"".join(chunk[8:-4] for name, chunk in _png_chunks(file.content) if name == b"IDAT")
    try:
        enough = any((rest := rest - size) <= 0 for size in _unpacked_sizes(packed))
    except zlib.error:
        enough = False
    if not enough:
        raise _broken("PNG")


def _unpacked_sizes(packed: bytes) -> Iterator[int]:
    """Yield how many bytes each piece of a zlib stream gives; small pieces, whatever the ratio."""
    unpack = zlib.decompressobj()
    for start in range(0, len(packed), _PIECE):
        piece = packed[start : start + _PIECE]
        while unpacked := unpack.decompress(piece, _PIECE):
            yield len(unpacked)
            piece = unpack.unconsumed_tail


def _webp(content: bytes) -> PictureFile:
    end = int.from_bytes(content[4:8], "little") + 8
    if end > len(content):
        raise _broken("WebP")
    orientation, size, start = 1, None, 12
    for _ in range(_MOST_SEGMENTS):
        if start + 8 > end:
            break
        name, length = content[start : start + 4], int.from_bytes(content[start + 4 : start + 8], "little")
        start += 8
        body = content[start : min(start + length, end)]
        if len(body) < length:
            raise _broken("WebP")
        if name in {b"ANIM", b"ANMF"}:
            raise Refused(_STILL)
        if name == b"EXIF":
            orientation = _orientation(body.removeprefix(b"Exif\0\0"))
        # the first chunk says how large the canvas is, whatever lies within
        size = _webp_size(name, body) if size is None else size
        start += length + length % 2
    if size is None:
        raise _broken("WebP")
    return PictureFile("WEBP", *size, orientation, content[:end])


def _webp_size(name: bytes, body: bytes) -> tuple[int, int]:
    if name == b"VP8X" and len(body) >= 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if name == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:10], "little")
        return width & 0x3FFF, height & 0x3FFF
    raise _broken("WebP")


def _bmp(content: bytes) -> PictureFile:
    if len(content) < 54 or int.from_bytes(content[14:18], "little") not in {40, 52, 56, 108, 124}:
        raise Refused("must be a BMP with a Windows header")
    width = int.from_bytes(content[18:22], "little", signed=True)
    height = abs(int.from_bytes(content[22:26], "little", signed=True))  # negative: from the top down
    if int.from_bytes(content[30:34], "little") not in {0, 3}:
        raise Refused("must be a BMP without compression")
    bits, start = int.from_bytes(content[28:30], "little"), int.from_bytes(content[10:14], "little")
    if width < 0 or start + height * ((width * bits + 31) // 32 * 4) > len(content):
        raise _broken("BMP")
    return PictureFile("BMP", width, height, 1, content)


def _orientation(exif: bytes) -> int:
    """Return the orientation of an EXIF block; 1 where there is none, or none that makes sense."""
    if exif[:4] not in {b"II*\0", b"MM\0*"}:
        return 1
    order: Literal["little", "big"] = "little" if exif[:1] == b"I" else "big"

    def number(start: int, size: int) -> int:
        return int.from_bytes(exif[start : start + size], order)

    directory = number(4, 4)
    for entry in range(min(number(directory, 2), 512)):
        start = directory + 2 + 12 * entry
        if start + 12 > len(exif):
            break
        if number(start, 2) == 0x0112:
            value = number(start + 8, 2)
            sound = number(start + 2, 2) == 3 and number(start + 4, 4) == 1 and 1 <= value <= 8
            return value if sound else 1
    return 1
