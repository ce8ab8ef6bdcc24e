"""Spell the names of leads as devices, viewers and countries do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Rng

Spell = Callable[[str], str]

LIMB_SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "standard": ("I", "II", "III", "aVR", "aVL", "aVF"),
    "upper": ("I", "II", "III", "AVR", "AVL", "AVF"),
    "typewriter": ("I", "II", "III", "AUR", "AUL", "AUF"),
    "aUR": ("I", "II", "III", "aUR", "aUL", "aUF"),
    "avR": ("I", "II", "III", "avR", "avL", "avF"),
    "lower": ("i", "ii", "iii", "avr", "avl", "avf"),
    "D": ("DI", "DII", "DIII", "aVR", "aVL", "aVF"),
    "D upper": ("DI", "DII", "DIII", "AVR", "AVL", "AVF"),
    "D digits": ("D1", "D2", "D3", "aVR", "aVL", "aVF"),
    "Lead": ("Lead I", "Lead II", "Lead III", "Lead aVR", "Lead aVL", "Lead aVF"),
    "apart": ("I", "I I", "I I I", "aVR", "aVL", "aVF"),
    "blank": ("I", "II", "III", "a VR", "a VL", "a VF"),
    "L digits": ("L1", "L2", "L3", "aVR", "aVL", "aVF"),
    "colon": ("I:", "II:", "III:", "aVR:", "aVL:", "aVF:"),
    "brackets": ("[I]", "[II]", "[III]", "[aVR]", "[aVL]", "[aVF]"),
}
"""Names of the limb leads in the order of ``LEADS``."""
LIMB_ODDS: Final = (0.46, 0.12, 0.05, 0.03, 0.04, 0.02, 0.06, 0.03, 0.03, 0.05, 0.04, 0.02, 0.02, 0.02, 0.01)
CHEST_SPELLINGS: Final = {
    "standard": "V{}", "blank": "V {}", "typewriter": "U{}", "C": "C{}", "lower": "v{}", "Lead": "Lead V{}", "sub": "V{}",
    "colon": "V{}:", "brackets": "[V{}]",
}  # fmt: skip
"""Names of the chest leads by their number."""
SUBSCRIPTS: Final = str.maketrans("123456", "₁₂₃₄₅₆")
STRIP_FORMS: Final = (
    "{}", "{}", "{}", "{}", "{} (rhythm)", "Rhythm ({})", "Rhythm[{}]", "Rhythm Strip: {}", "RHYTHM STRIP: {}", "long {}",
    "{} long", "Rhythm {}", "{} (cont.)", "{}*", "Ritmo {}", "{} 10s", "{} R",
)  # fmt: skip
"""Names of rhythm strips by the lead's name."""


@dataclass(frozen=True)
class Spelling:
    """Names that one page prints."""

    name: str
    """Kind of the spelling."""
    leads: dict[str, str]
    """Printed name by lead; "-aVR" is a lead of its own."""
    strip: str = "{}"
    """Form of a strip's name."""

    def of(self, lead: str, *, strip: bool = False) -> str:
        """Printed name of a lead."""
        return self.strip.format(self.leads[lead]) if strip else self.leads[lead]


def random_spelling(rng: Rng, *, unicode: bool) -> Spelling:
    """Random spelling; ``unicode``: whether the font has subscripts."""
    kind = str(rng.choice(list(LIMB_SPELLINGS), p=LIMB_ODDS))
    chest = {
        "typewriter": "typewriter", "aUR": "typewriter", "lower": "lower", "Lead": "Lead", "colon": "colon",
        "brackets": "brackets",
    }.get(kind) or str(rng.choice(["standard", "blank", "C", "sub"], p=[0.74, 0.1, 0.08, 0.08]))  # fmt: skip
    form = CHEST_SPELLINGS[chest]
    leads = dict(zip(LEADS[:6], LIMB_SPELLINGS[kind], strict=True))
    for number in range(1, 7):
        name = form.format(number)
        leads[f"V{number}"] = name.translate(SUBSCRIPTS) if chest == "sub" and unicode else name
    leads["-aVR"] = "-" + leads["aVR"] if kind not in ("Lead", "brackets") else "-aVR"
    name = kind if chest in (kind, "standard") or kind == "aUR" else f"{kind}, chest {chest}"
    return Spelling(name, leads, str(rng.choice(STRIP_FORMS)))
