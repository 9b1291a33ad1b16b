"""A picture, from a stranger's bytes to normalised pixels of a declared size.

Pillow decodes and resizes: its kernels are antialiased and run in integers, so their bits are one release's
bits on every processor. Its plugins are called by class, not through ``Image.open``: that one warns by itself
and obeys limits that belong to the host. Neither ``warnings`` nor any setting of Pillow's is touched. Colour
profiles are ignored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import BackendMissing
from inprocml.schema import Refused
from inprocml.transform.media.content import content_of
from inprocml.transform.media.picture_file import FORMATS, PictureFile, audited, check_rows

__all__ = ["ImageOptions", "pillow", "read_image"]

_KERNELS = ("bilinear", "bicubic", "lanczos", "nearest", "box")
_LARGEST_SIDE = 4096
_LONGEST = 32  # times as long as wide as declared: cropping first makes the whole picture at that scale
# EXIF: what turns a picture of this orientation upright, by Pillow's names
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageOptions:
    """What a picture must be and what it becomes; ``ValueError`` for what makes no sense.

    ``size`` is (height, width) in pixels. ``fit="stretch"`` resizes to it, whatever the proportions; "crop"
    resizes until the picture covers it and takes the middle. ``kernel`` is Pillow's, antialiased (but
    "nearest"). ``colours`` is "RGB" or "L", grey. ``upright`` obeys the EXIF orientation. Transparency is
    refused unless ``background`` names the colour to put beneath, (red, green, blue) from 0 to 255; an alpha
    channel that is opaque everywhere is no transparency. ``mean`` and ``std``, one number per channel,
    normalise x / 255. ``formats`` are those accepted, of JPEG, PNG, WEBP and BMP; ``max_pixels``, judged by
    the header, and ``max_bytes`` bound what is decoded.
    """

    size: tuple[int, int]
    colours: Literal["RGB", "L"] = "RGB"
    fit: Literal["stretch", "crop"] = "stretch"
    kernel: Literal["bilinear", "bicubic", "lanczos", "nearest", "box"] = "bilinear"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    upright: bool = True
    background: tuple[int, int, int] | None = None
    formats: tuple[str, ...] = FORMATS
    max_pixels: int = 50_000_000
    max_bytes: int = 20_000_000

    def __post_init__(self) -> None:
        if not _whole(self.size, 2, 1, _LARGEST_SIDE):
            raise ValueError(f"size must be (height, width), each from 1 to {_LARGEST_SIDE}")
        for name, value, allowed in (
            ("colours", self.colours, ("RGB", "L")),
            ("fit", self.fit, ("stretch", "crop")),
            ("kernel", self.kernel, _KERNELS),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers is not None and (len(numbers) != self.channels or not all(map(_ordinary, numbers))):
                raise ValueError(f"{name} must have one number for each of the {self.channels} channels")
        if self.std is not None and not all(value >= 1e-9 for value in self.std):
            raise ValueError("std must be positive")
        if self.background is not None and not _whole(self.background, 3, 0, 255):
            raise ValueError("background must be (red, green, blue), each from 0 to 255")
        if not self.formats or not set(self.formats) <= set(FORMATS):
            raise ValueError(f"formats must name some of {', '.join(FORMATS)}")
        if self.max_pixels < 1 or self.max_bytes < 1:
            raise ValueError("max_pixels and max_bytes must be positive")

    @property
    def channels(self) -> int:
        """The number of channels of the result."""
        return len(self.colours)


def read_image(value: object, options: ImageOptions) -> NDArray[np.float32]:
    """Return the picture, float32 of shape ``(channels, height, width)``.

    ``value`` is a file as bytes or base64 text. Raises ``Refused``, and ``BackendMissing`` without Pillow.
    """
    file = audited(content_of(value, options.max_bytes))
    if file.format not in options.formats:
        raise Refused(f"must be a picture in one of the formats {', '.join(options.formats)}")
    if file.width * file.height == 0:
        raise Refused("must be a picture of at least one pixel")
    if file.width * file.height > options.max_pixels:
        raise Refused(f"must be a picture of at most {options.max_pixels} pixels")
    library = pillow()
    try:
        picture = _decoded(file)
        opaque = _opaque(library, picture, options).convert(options.colours)
    except (Refused, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - whatever a decoder stumbles over, it is the file's fault
        raise Refused(f"must be a whole {file.format} file: it is cut short or corrupt") from None
    if options.upright and file.orientation in _UPRIGHT:
        opaque = opaque.transpose(library.Transpose[_UPRIGHT[file.orientation]])
    return _normalised(np.asarray(_resized(library, opaque, options)), options)


def pillow() -> Any:
    """Return Pillow's ``Image`` module; ``BackendMissing`` where it is not installed."""
    try:
        from PIL import Image
    except ImportError:
        raise BackendMissing("pictures need Pillow: pip install 'inprocml[image]'") from None
    return Image


def _decoded(file: PictureFile) -> Any:
    """Return Pillow's image, its pixels decoded."""
    if file.format == "PNG":
        check_rows(file)
    picture = _plugin(file.format)(BytesIO(file.content))
    if picture.size != (file.width, file.height):
        raise ValueError("the decoder reads another size than was judged")
    picture.load()
    return picture


def _plugin(name: str) -> Any:
    if name == "JPEG":
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile
    if name == "PNG":
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile
    if name == "WEBP":
        from PIL.WebPImagePlugin import WebPImageFile

        return WebPImageFile
    from PIL.BmpImagePlugin import BmpImageFile

    return BmpImageFile


def _opaque(library: Any, picture: Any, options: ImageOptions) -> Any:
    """Return the picture without transparency, put on the background where it had some."""
    if picture.mode not in {"RGBA", "LA", "PA"} and "transparency" not in picture.info:
        return picture
    whole = picture.convert("RGBA")
    alpha, colours = whole.getchannel("A"), whole.convert("RGB")
    if alpha.getextrema() == (255, 255):
        return colours
    if options.background is None:
        raise Refused("must be a picture without transparency")
    beneath = library.new("RGB", colours.size, options.background)
    beneath.paste(colours, mask=alpha)
    return beneath


def _resized(library: Any, picture: Any, options: ImageOptions) -> Any:
    kernel = library.Resampling[options.kernel.upper()]
    height, width = options.size
    if options.fit == "stretch":
        return picture.resize((width, height), kernel)
    full_width, full_height = _covering(picture.size, (width, height))
    if full_width * full_height > _LONGEST * width * height:
        raise Refused(f"must be at most {_LONGEST} times as long as what is cropped from it")
    left, top = round((full_width - width) / 2), round((full_height - height) / 2)
    return picture.resize((full_width, full_height), kernel).crop((left, top, left + width, top + height))


def _covering(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest size of the same proportions that covers ``target``, all (width, height)."""
    if size[0] * target[1] <= size[1] * target[0]:
        return target[0], max(target[1], size[1] * target[0] // size[0])
    return max(target[0], size[0] * target[1] // size[1]), target[1]


def _normalised(pixels: NDArray[np.uint8], options: ImageOptions) -> NDArray[np.float32]:
    mean, std = options.mean or (0.0,) * options.channels, options.std or (1.0,) * options.channels
    planes = pixels.reshape(*options.size, options.channels)
    out = np.empty((options.channels, *options.size), dtype=np.float32)
    for channel, table in enumerate(map(_table, mean, std)):
        np.take(table, planes[:, :, channel], out=out[channel])
    return out


@lru_cache(maxsize=64)
def _table(mean: float, std: float) -> NDArray[np.float32]:
    """Return what each of the 256 values becomes."""
    table = np.array([(value / 255.0 - mean) / std for value in range(256)]).astype(np.float32)
    table.flags.writeable = False
    return table


def _whole(numbers: tuple[int, ...], count: int, low: int, high: int) -> bool:
    return len(numbers) == count and all(type(number) is int and low <= number <= high for number in numbers)


def _ordinary(number: object) -> bool:
    return isinstance(number, (int, float)) and not isinstance(number, bool) and math.fabs(number) <= 1e9
