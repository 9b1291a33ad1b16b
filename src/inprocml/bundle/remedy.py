"""What to do about a bundle that cannot be used; every message of this room ends in one of these."""

from __future__ import annotations

__all__ = ["AGAIN", "ANEW"]

AGAIN = "Copy the bundle again from where it was packed, or pack it anew."
"""For bytes that changed on the way."""

ANEW = "Pack the bundle anew with inprocml.pack."
"""For content that no copy will mend."""
