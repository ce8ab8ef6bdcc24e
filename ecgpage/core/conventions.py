"""Conventions that every stage shares: leads, classes, printed scale, and the error for an input that cannot be used.

Conventions of every module:
    image   uint8 (H, W, 3), RGB, origin top-left, x right, y down, pixel centres at integers
    page    the flat page in millimetres, x right (25 mm = 1 s at 25 mm/s), y down (10 mm = 1 mV at 10 mm/mV)
    signal  float32 (n_samples, n_leads), mV, NaN where nothing was drawn or nothing can be trusted
"""

from typing import Final

LEADS: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Twelve standard leads in the order that headers and reports use."""
CLASSES: Final = (
    "NORM", "Acute MI", "Old MI", "STTC", "CD", "HYP", "PAC", "PVC", "AFIB/AFL", "TACHY", "BRADY",
)  # fmt: skip
"""Eleven classes of the PhysioNet/CinC Challenge 2024."""
SPEED_MM_PER_S: Final = 25.0
"""Paper speed, mm/s, unless the page says otherwise."""
GAIN_MM_PER_MV: Final = 10.0
"""Gain, mm/mV, unless the page says otherwise."""
X_PX_PER_MM: Final = 10
"""Resolution along time, px/mm, of the flat page and of crops, which are sampled once from the original picture."""
Y_PX_PER_MM: Final = 8
"""Resolution along voltage, px/mm, of the flat page and of crops."""


class EcgPageError(Exception):
    """An input that cannot be used; the message names the file, the reason and the way out."""


class NoGridError(EcgPageError):
    """A picture in which no grid of one kind is found; what came of another grid is the better reason."""


def canonical_lead(name: str) -> str | None:
    """Standard spelling of a lead name in any case (``AVR`` -> ``aVR``); None when it is not one of the twelve."""
    wanted = name.strip().lower()
    return next((lead for lead in LEADS if lead.lower() == wanted), None)
