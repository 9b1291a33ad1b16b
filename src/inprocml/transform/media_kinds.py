"""The kinds whose values are files or long texts: how each is read, and what is made of it while fitting."""

from __future__ import annotations

from inprocml.schema import Field
from inprocml.transform.audio_step import audio_field, fit_audio
from inprocml.transform.image_step import ImageStep, image_field
from inprocml.transform.specs_media import Audio, Image, Text
from inprocml.transform.step import Entry
from inprocml.transform.text_step import fit_text, text_field

__all__ = ["MEDIA", "fit_media", "media_field"]

MEDIA = (Text, Image, Audio)


def media_field(name: str, spec: Text | Image | Audio) -> Field:
    """Return the field that an entry reads."""
    if isinstance(spec, Text):
        return text_field(name, spec)
    return image_field(name, spec) if isinstance(spec, Image) else audio_field(name, spec)


def fit_media(name: str, spec: Text | Image | Audio) -> Entry:
    """Return the entry: ``TransformError`` for a declaration that will not do."""
    if isinstance(spec, Text):
        return fit_text(name, spec)
    return ImageStep(name, spec) if isinstance(spec, Image) else fit_audio(name, spec)
