"""How much time a page shows."""

from typing import Final

import numpy as np

from ecgpage.core.conventions import SPEED_MM_PER_S
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.rows import find_rows

PAGE_S: Final = 10.0
"""Time that one page shows, s."""
NEARLY_PAGE: Final = 0.95
"""Duration of a record, as a share of PAGE_S, from which it counts as a whole page: row lengths cannot tell the two apart."""


def shown_seconds(page: FlatPage, record_s: float, options: LayoutOptions = LayoutOptions()) -> float:
    """Time, s, that an upright page shows of a record of ``record_s`` seconds.

    It is a whole page's when the rows are longer than the record: the record was then cut from what is printed, or drawn at
    50 mm/s, which its pulses or its text show.
    """
    if record_s >= NEARLY_PAGE * PAGE_S:
        return max(record_s, PAGE_S)
    lengths_mm = [row.end_mm - row.start_mm for row in find_rows(page, options)]
    is_whole = not lengths_mm or float(np.median(lengths_mm)) > options.long_share * record_s * SPEED_MM_PER_S
    return PAGE_S if is_whole else record_s
