"""The kinds of pictures of devices' pages: how they come about, and how strong each effect may be.

They stand beside those of ``ecgpage.synth.mixes``, which stay as they are; ``world_hash`` stands beside every score on them.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from ecgpage.synth.mixes import PHOTO, SCAN, Mix

Scene = Literal["screen", "scan", "fax", "photo"]


@dataclass(frozen=True)
class WorldMix:
    """Kinds of pictures and their shares."""

    scenes: tuple[tuple[Scene, float], ...]
    p_dark: float = 0.1
    """Chance of a dark page; of screens alone."""
    p_cut: float = 0.2
    """Chance that the picture begins, or ends, 0 to 4 mm inside the traces."""
    p_margin: float = 0.2
    """Chance of a blank margin around the picture, at each side."""
    p_window: float = 0.08
    """Chance that the page stands in a window on a larger screen."""
    p_artifacts: float = 0.1
    """Chance of each kind of artifact of the recording."""
    p_noise: float = 0.06
    """Chance of noise so strong that traces look brushed."""
    p_rescaled_limbs: float = 0.06
    """Chance that limb leads were scaled one by one, so that Einthoven's and Goldberger's constraints fail."""


SCREEN: Final = Mix(
    blur=(0.0, 0.7),
    noise=(0.0, 2.0),
    sharpen=(0.0, 0.5),
    p_gray=0.1,
    p_resample=0.12,
    jpeg=(40, 96),
    p_jpeg=0.45,
)
"""Screenshots and exported pages: no geometry, little blur."""
MILD_SCAN: Final = replace(
    SCAN, rotation=(-1.5, 1.5), wave=(0.0, 0.2), folds=0, fold_bend=0.0, long_side=(900, 3300), fill=(0.97, 1.02),
    noise=(0.0, 4.0), marks=(("marker", 0.02), ("thermal", 0.03)),
)  # fmt: skip
FAX: Final = replace(MILD_SCAN, p_gray=1.0, cast=0.0, p_threshold=0.55, p_dither=0.03, p_fax=0.45)
MILD_PHOTO: Final = replace(
    PHOTO, rotation=(-6.0, 6.0), tilt=(0.0, 14.0), folds=2, fold_bend=0.08, crumples=(0.0, 8.0), crumple_slope=(0.0, 0.06),
    curl=(-5.0, 5.0), wave=(0.0, 0.8), p_quarter_turn=0.0, long_side=(1400, 3200), fill=(0.88, 1.05),
    shadows=1, shadow_depth=(0.05, 0.25), gradient=(0.0, 0.25), vignette=(0.0, 0.12), brightness=(0.78, 1.0), p_glare=0.04,
)  # fmt: skip
SCENES: Final[dict[Scene, Mix]] = {"screen": SCREEN, "scan": MILD_SCAN, "fax": FAX, "photo": MILD_PHOTO}
"""Strengths of what happens to the page in each kind of picture."""

WORLD_MIXES: Final[dict[str, WorldMix]] = {
    "world": WorldMix((("screen", 0.58), ("scan", 0.24), ("fax", 0.07), ("photo", 0.11))),
    "world-screen": WorldMix((("screen", 1.0),)),
    "world-scan": WorldMix((("scan", 1.0),)),
    "world-fax": WorldMix((("fax", 1.0),)),
    "world-photo": WorldMix((("photo", 1.0),)),
}
"""Named mixes."""


def world_hash() -> str:
    """First 12 hexadecimal digits of the sha256 of all files of this folder, which decide together what is drawn."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
