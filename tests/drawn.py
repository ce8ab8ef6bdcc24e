"""Records that tests draw on: real heart beats from the shipped golden records, so that no data folder is needed."""

from functools import cache
from pathlib import Path

import numpy as np

from ecgpage.core.conventions import LEADS
from ecgpage.synth import DrawnPage, draw_challenge_page
from helper_code import load_signals

GOLDEN = Path(__file__).parent / "golden" / "reference"
FS = 500.0


@cache
def record(name: str = "noise") -> np.ndarray:
    """(5000, 12) mV at 500 Hz, leads in the order ``LEADS``, complete."""
    signal, fields = load_signals(str(GOLDEN / name))
    assert signal is not None
    assert fields is not None
    assert fields["fs"] == FS
    order = [[n.lower() for n in fields["sig_name"]].index(lead.lower()) for lead in LEADS]
    return np.nan_to_num(signal[:, order])


@cache
def lawful_record() -> np.ndarray:
    """(5000, 12) mV at 500 Hz: complete leads made of independent ones, whose limb leads follow from I and II."""
    strip = record()[:, LEADS.index("II")]
    one, two = np.roll(strip, 40) * 0.6 + 0.1 * np.roll(strip, 7), strip
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    chest = [np.roll(strip, 11 * k) * (0.4 + 0.3 * k) for k in range(6)]
    return np.stack(limb + chest, axis=1).astype(np.float32)


@cache
def clean_page(name: str = "noise", **options: object) -> DrawnPage:
    """The Challenge generator's page of one golden record."""
    return draw_challenge_page(record(name), FS, **options)  # type: ignore[arg-type]
