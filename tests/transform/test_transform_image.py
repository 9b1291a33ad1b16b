"""Pictures: what Pillow would give, from files that no attacker can make expensive."""

from __future__ import annotations

import gc
import os
import struct
import sys
import tracemalloc
import warnings
import zlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from inprocml.schema import Refused
from inprocml.transform.media.image import ImageOptions, read_image

PLAIN = ImageOptions(size=(8, 12))


def painted(width=40, height=30, mode="RGB", seed=0):
    """A smooth picture, none of whose sides looks like another."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def saved(picture, name="PNG", **options):
    file = BytesIO()
    picture.save(file, name, **options)
    return file.getvalue()


def expected(picture, options=PLAIN, mode="RGB"):
    height, width = options.size
    pixels = np.asarray(picture.convert(mode).resize((width, height), Image.Resampling.BILINEAR))
    return (pixels.reshape(height, width, -1).transpose(2, 0, 1) / 255).astype(np.float32)


def reason(content, options=PLAIN):
    with pytest.raises(Refused) as refused:
        read_image(content, options)
    assert refused.value.reason.startswith("must ")
    return refused.value.reason


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*chunks, width=1, height=1, depth=8, colours=2):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def exif(orientation, order="<", count=1):
    start = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, count, orientation, 0)
    return start + struct.pack(order + "IH", 8, 1) + entry + struct.pack(order + "I", 0)


FORMATS = {
    "JPEG": {},
    "JPEG progressive": {"progressive": True},
    "JPEG 4:4:4": {"subsampling": 0, "quality": 95},
    "PNG": {},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
    "BMP": {},
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_is_what_pillow_makes_of_it(name):
    content = saved(painted(), name.split()[0], **FORMATS[name])
    ours = read_image(content, PLAIN)
    assert (ours.dtype, ours.shape, ours.flags.c_contiguous) == (np.float32, (3, 8, 12), True)
    assert ours.tobytes() == expected(Image.open(BytesIO(content))).tobytes()
    for other in (bytearray(content), memoryview(content), b64encode(content).decode()):
        assert read_image(other, PLAIN).tobytes() == ours.tobytes()


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP"])
def test_grey_pictures_and_grey_results(name):
    options = ImageOptions(size=(8, 12), colours="L")
    colourful, grey = saved(painted(), name), saved(painted(mode="L"), name)
    assert read_image(colourful, options).shape == (1, 8, 12)
    assert (
        read_image(colourful, options).tobytes()
        == expected(Image.open(BytesIO(colourful)), mode="L").tobytes()
    )
    assert read_image(grey, PLAIN).tobytes() == expected(Image.open(BytesIO(grey))).tobytes()


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos", "nearest", "box"])
def test_kernels_are_pillows_antialiased_ones(kernel):
    options = ImageOptions(size=(7, 9), kernel=kernel)
    theirs = np.asarray(painted().resize((9, 7), Image.Resampling[kernel.upper()]))
    assert np.array_equal(np.rint(read_image(saved(painted()), options) * 255), theirs.transpose(2, 0, 1))


@pytest.mark.parametrize(("width", "height"), [(40, 30), (30, 40), (33, 33), (13, 100), (5, 3), (224, 225)])
@pytest.mark.parametrize("size", [(16, 16), (9, 21)])
def test_crop_covers_and_takes_the_middle(width, height, size):
    picture = painted(width, height)
    scale = max(size[0] / height, size[1] / width)
    full = (max(size[1], int(width * scale + 1e-9)), max(size[0], int(height * scale + 1e-9)))
    left, top = round((full[0] - size[1]) / 2), round((full[1] - size[0]) / 2)
    whole = np.asarray(picture.resize(full, Image.Resampling.BILINEAR))
    theirs = whole[top : top + size[0], left : left + size[1]].transpose(2, 0, 1)
    ours = read_image(saved(picture), ImageOptions(size=size, fit="crop"))
    assert np.array_equal(np.rint(ours * 255), theirs)


def test_normalisation_is_float64_arithmetic_on_256_values():
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    ours = read_image(saved(ramp), ImageOptions(size=(16, 16), mean=mean, std=std))
    for channel in range(3):
        values = [(value / 255 - mean[channel]) / std[channel] for value in range(256)]
        assert ours[channel].ravel().tolist() == np.array(values).astype(np.float32).tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_obeyed_as_declared(orientation, order, name):
    content = saved(painted(), name, exif=b"Exif\0\0" + exif(orientation, order))
    picture = Image.open(BytesIO(content))
    upright = ImageOps.exif_transpose(picture)
    assert read_image(content, PLAIN).tobytes() == expected(upright).tobytes()
    as_stored = ImageOptions(size=(8, 12), upright=False)
    assert read_image(content, as_stored).tobytes() == expected(picture).tobytes()


@pytest.mark.parametrize(
    "block",
    [b"", b"II*\0", exif(9), exif(0), exif(6, count=2), b"II*\0\xff\xff\xff\xff", exif(6)[:19], b"?" * 64],
)
def test_orientations_that_make_no_sense_are_none(block):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = saved(painted(), "JPEG", exif=b"Exif\0\0" + block)
        assert read_image(content, PLAIN).tobytes() == read_image(saved(painted(), "JPEG"), PLAIN).tobytes()


def test_transparency_is_refused_or_put_on_a_background():
    picture = painted(mode="RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    options = ImageOptions(size=(8, 12), background=(255, 0, 0))
    beneath = Image.new("RGB", picture.size, (255, 0, 0))
    beneath.paste(picture.convert("RGB"), mask=picture.getchannel("A"))
    for content in (saved(picture), saved(picture, "WEBP", lossless=True, exact=True)):
        assert reason(content) == "must be a picture without transparency"
        assert read_image(content, options).tobytes() == expected(beneath).tobytes()


def test_an_opaque_alpha_channel_is_no_transparency():
    for content in (saved(painted(mode="RGBA")), saved(painted(mode="LA"))):
        assert read_image(content, PLAIN).tobytes() == expected(Image.open(BytesIO(content))).tobytes()


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_is_transparency(mode):
    picture = painted(mode=mode) if mode != "P" else painted().quantize(16)
    key = (0, 0, 0) if mode == "RGB" else 0
    picture.putpixel((3, 3), key)
    content = saved(picture, transparency=key)
    assert "transparency" in reason(content)
    green = ImageOptions(size=(30, 40), background=(0, 255, 0))
    assert read_image(content, green)[:, 2:4, 2:4].shape == (3, 2, 2)
    assert (
        read_image(saved(picture, transparency=key), ImageOptions(size=(30, 40), background=(0, 255, 0)))[
            1
        ].max()
        == 1.0
    )


def test_palettes_single_bits_and_interlace_are_read():
    for content in (
        saved(painted().quantize(7)),
        saved(painted(mode="1")),
        saved(painted().quantize(3), bits=2),
        saved(painted(mode="1"), "BMP"),
        saved(painted().quantize(9), "BMP"),
    ):
        assert read_image(content, PLAIN).tobytes() == expected(Image.open(BytesIO(content))).tobytes()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (5, 9), (40, 30)])
@pytest.mark.parametrize(("colours", "depth"), [(0, 1), (0, 2), (0, 4), (0, 8), (2, 8)])
def test_interlaced_pictures_must_have_every_pass(width, height, colours, depth):
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    bits = depth * (3 if colours == 2 else 1)
    shapes = [(len(range(y, height, dy)), len(range(x, width, dx))) for x, y, dx, dy in steps]
    rows = b"".join((b"\0" + b"\xff" * ((w * bits + 7) // 8)) * h for h, w in shapes if w)
    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 1)

    def interlaced(rows):
        chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + chunks

    assert set(read_image(interlaced(rows), PLAIN).ravel().tolist()) == {1.0}
    assert "whole PNG" in reason(interlaced(rows[:-1]))


JPEG, PNG, WEBP, BMP = (saved(painted(), name) for name in ("JPEG", "PNG", "WEBP", "BMP"))
SOF = JPEG.index(b"\xff\xc0")
SOS = JPEG.index(b"\xff\xda")
ONE_PIXEL = chunk(b"IDAT", zlib.compress(b"\0\0\0\0"))


def patched(content, place, new):
    return content[:place] + new + content[place + len(new) :]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (saved(painted(), "GIF"), "formats"),
        (saved(painted(), "TIFF"), "formats"),
        (saved(painted(), "PPM"), "formats"),
        (b"<svg/>", "formats"),
        (b"%PDF-1.4", "formats"),
        (saved(painted(mode="CMYK"), "JPEG"), "CMYK"),
        (saved(Image.fromarray(np.zeros((4, 4), dtype=np.uint16))), "not 16"),
        (saved(painted(), "PNG", save_all=True, append_images=[painted(seed=1)]), "still"),
        (saved(painted(), "WEBP", save_all=True, append_images=[painted(seed=1)]), "still"),
        (saved(painted(mode="1"), transparency=0), "8 bits"),
        (png(ONE_PIXEL, width=0), "at least one pixel"),
        (patched(JPEG, SOF + 5, b"\0\0"), "at least one pixel"),
        (patched(BMP, 18, b"\0\0\0\0"), "at least one pixel"),
        (png(chunk(b"CODE", b"?"), ONE_PIXEL), "whole PNG"),
        (png(ONE_PIXEL)[:-1], "whole PNG"),
        (png(), "whole PNG"),
        (png(chunk(b"IHDR", PNG[16:29]), ONE_PIXEL), "whole PNG"),
        (patched(PNG, 45, b"??"), "whole PNG"),
        (PNG[:8] + chunk(b"IDAT", b"") + PNG[8:], "whole PNG"),
        (png(ONE_PIXEL, height=2), "whole PNG"),
        (png(*[chunk(b"IDAT", b"")] * 20_000), "20000 chunks"),
        (JPEG[:-2], "whole JPEG"),
        (JPEG[: SOS + 10], "whole JPEG"),
        (JPEG[:SOS] + b"\xff\xd9", "whole JPEG"),
        (JPEG[:2] + JPEG[SOS:], "whole JPEG"),
        (patched(JPEG, SOF, b"\xff\xc9"), "baseline"),
        (patched(JPEG, SOF + 4, b"\x0c"), "8 bits"),
        (JPEG[:2] + b"\xff\xe1\xff\xff" + b"short", "whole JPEG"),
        (JPEG[:2] + b"\xff\xfe\0\2" * 1001 + JPEG[2:], "1000 segments"),
        (JPEG[:-2] + JPEG[SOS:-2] * 40 + b"\xff\xd9", "32 scans"),
        (WEBP[:-10], "whole WebP"),
        (patched(WEBP, 12, b"????"), "whole WebP"),
        (patched(WEBP, 26, b"\xff\x3f\xff\x3f"), "at most 50000000 pixels"),
        (BMP[:-1], "whole BMP"),
        (patched(BMP, 30, b"\1"), "without compression"),
        (patched(BMP, 14, b"\x0c"), "Windows header"),
        (patched(BMP, 18, b"\xff\xff\xff\xff"), "whole BMP"),
        (patched(BMP, 28, b"\x07"), "whole BMP"),
        (b"", "empty"),
        (None, "not NoneType"),
        ([1, 2], "not list"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "value",
)
def test_what_is_refused_and_why(content, why):
    assert why in reason(content)


def test_only_declared_formats_are_read():
    only = ImageOptions(size=(8, 12), formats=("PNG",))
    assert read_image(PNG, only).shape == (3, 8, 12)
    assert reason(JPEG, only) == "must be a picture in one of the formats PNG"


def test_bytes_and_pixels_are_judged_before_decoding():
    assert reason(PNG, ImageOptions(size=(8, 12), max_bytes=len(PNG) - 1)).startswith("must have at most")
    assert "at most 1199 pixels" in reason(PNG, ImageOptions(size=(8, 12), max_pixels=1199))
    assert read_image(PNG, ImageOptions(size=(8, 12), max_pixels=1200, max_bytes=len(PNG))).shape == (
        3,
        8,
        12,
    )


def test_a_long_picture_is_not_blown_up_by_a_crop():
    content = saved(Image.new("RGB", (30_000, 2)))
    assert "32 times" in reason(content, ImageOptions(size=(224, 224), fit="crop"))
    assert read_image(content, PLAIN).shape == (3, 8, 12)


def test_a_bomb_is_refused_in_little_memory():
    rows = zlib.compress(b"\0" * (10_001 * 10_000), 9)
    bomb = png(chunk(b"IDAT", rows), width=10_000, height=10_000, colours=0)
    assert len(bomb) < 200_000
    read_image(PNG, PLAIN)
    gc.collect()
    tracemalloc.start()
    try:
        assert "at most 50000000 pixels" in reason(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_text_and_profiles_are_never_unpacked():
    bomb = zlib.compress(b"\0" * 100_000_000, 9)
    content = png(
        chunk(b"zTXt", b"Comment\0\0" + bomb),
        chunk(b"iCCP", b"icc\0\0" + bomb),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
        ONE_PIXEL,
    )
    with pytest.raises(ValueError, match="too large"):
        Image.open(BytesIO(content)).load()
    assert read_image(content, PLAIN).tobytes() == bytes(4 * 3 * 8 * 12)


def test_settings_of_the_host_neither_change_nor_matter(monkeypatch):
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK)
    read_image(PNG, PLAIN)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Image.open would warn
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for content in (JPEG, PNG, WEBP, BMP):
        assert read_image(content, PLAIN).shape == (3, 8, 12)
    for content in (JPEG[:-2], PNG[:-20], WEBP[:-20], BMP[:-20]):
        assert "cut short" in reason(content)


def test_nothing_is_printed_or_warned(capfd):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for content in (JPEG, PNG, WEBP, BMP):
            read_image(content, PLAIN)
            for cut in range(0, len(content), max(1, len(content) // 40)):
                reason(content[:cut])
        reason(png(ONE_PIXEL, width=12_000, height=12_000))
        mpo = saved(painted(), "MPO", save_all=True, append_images=[painted(seed=1)])
        assert read_image(mpo, PLAIN).tobytes() == read_image(saved(painted(), "JPEG"), PLAIN).tobytes()
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")


def test_threads_get_the_same_bytes():
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda content: read_image(content, PLAIN).tobytes(), [JPEG, PNG] * 20))
    assert len(found) == 2


@settings(max_examples=300)
@given(
    st.sampled_from(
        [JPEG, PNG, WEBP, BMP, saved(painted().quantize(5)), saved(painted(), "JPEG", progressive=True)]
    ),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=5),
    st.integers(0, 4000),
)
def test_mutated_files_are_read_or_refused(content, changes, length):
    mutant = bytearray(content[: len(content) - length % 7 if length > 1000 else length])
    for place, byte in changes:
        if place < len(mutant):
            mutant[place] = byte
    try:
        picture = read_image(
            bytes(mutant), ImageOptions(size=(8, 12), background=(0, 0, 0), max_pixels=10**6)
        )
    except Refused:
        return
    assert picture.shape == (3, 8, 12)
    assert np.isfinite(picture).all()


@given(st.binary(max_size=100), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF"]))
def test_anything_else_is_refused(rest, start):
    reason(start + rest)


@pytest.mark.parametrize(
    "change",
    [
        {"size": (0, 5)},
        {"size": (5, 5000)},
        {"size": (5,)},
        {"size": (5.0, 5)},
        {"colours": "CMYK"},
        {"fit": "pad"},
        {"kernel": "area"},
        {"mean": (0.5,)},
        {"mean": (0.5, 0.5, float("nan"))},
        {"std": (0.0, 1.0, 1.0)},
        {"background": (0, 0)},
        {"background": (0, 0, 256)},
        {"formats": ()},
        {"formats": ("GIF",)},
        {"max_pixels": 0},
        {"max_bytes": 0},
    ],
)
def test_options_that_make_no_sense(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        ImageOptions(**{"size": (8, 8), **change})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_of_a_process_that_decoded_decodes_the_same():
    wanted = read_image(JPEG, PLAIN).tobytes()
    child = os.fork()
    if child == 0:
        os._exit(0 if read_image(JPEG, PLAIN).tobytes() == wanted else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_error_without_pillow_says_what_to_install(monkeypatch):
    from inprocml.errors import BackendMissing

    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(BackendMissing, match=r"pip install 'inprocml\[image\]'"):
        read_image(PNG, PLAIN)
