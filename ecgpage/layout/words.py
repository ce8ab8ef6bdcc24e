"""Words that are recognised on a page: names of leads, paper speeds, gains."""

from typing import Final

from ecgpage.core.conventions import LEADS

SPEEDS: Final = (12.5, 25.0, 50.0)
"""Paper speeds, mm/s, that are recognised."""
GAINS: Final = (5.0, 10.0, 20.0)
"""Gains, mm/mV, that are recognised."""
LEAD_WORDS: Final = (*LEADS, "-aVR")
"""Names of leads that are recognised."""
WORDS: Final = (*LEAD_WORDS, *(f"{v:g} mm/s" for v in SPEEDS), *(f"{v:g} mm/mV" for v in GAINS))
"""Words that are recognised; the network's class 0 is none of them, class k + 1 is ``WORDS[k]``."""
