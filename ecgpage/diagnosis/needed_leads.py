"""Which leads a page has to show before a diagnosis can be told from it.

The classifiers were trained on records of twelve leads, of which a page may have lost some. A page that never showed them
says nothing of what they would: a finding needs all limb leads or all chest leads, a rhythm three leads of one time, and
that a record is normal can be said of twelve leads only.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from ecgpage.diagnosis.types import Diagnosis
from ecgpage.signal.page_kind import GROUPS

RHYTHMS: Final = frozenset(("AFIB/AFL", "TACHY", "BRADY", "PAC", "PVC"))
"""Diagnoses that beats alone tell."""
NORMAL: Final = "NORM"
LEAST_RHYTHM: Final = 3
"""Number of leads from which a rhythm is told."""
MOST_LOST: Final = 1
"""Number of leads of a group that may not be shown, such as those beyond the picture's edge."""


def shows_enough(label: str, shown: Iterable[str]) -> bool:
    """Whether a page that shows these leads, read or not, shows enough for a diagnosis."""
    leads = set(shown)
    if label in RHYTHMS:
        return len(leads) >= LEAST_RHYTHM
    whole = [len(group - leads) <= MOST_LOST for group in GROUPS]
    return all(whole) if label == NORMAL else any(whole)


def withhold(found: Diagnosis, shown: Iterable[str]) -> Diagnosis:
    """Diagnosis without what a page that shows these leads cannot tell: no label, and a probability of NaN."""
    leads = set(shown)
    withheld = {label for label in found.probabilities if not shows_enough(label, leads)}
    if not withheld:
        return found
    return replace(
        found,
        labels=[label for label in found.labels if label not in withheld],
        probabilities={k: float("nan") if k in withheld else p for k, p in found.probabilities.items()},
    )
