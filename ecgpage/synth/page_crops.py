"""Crops of drawn pictures through their exact map: what a perfect grid stage would hand to the trace network.

Slower than ``crops.draw_crop`` and made of whole pictures, so they tell how far a network trained on
those crops carries over to the pictures themselves.
"""

from typing import Any

import cv2
import numpy as np

from ecgpage.synth.crops import CROP_ROWS, HALF_HEIGHT, PX_PER_MM_TIME, PX_PER_MM_VOLTAGE, Crop, per_column
from ecgpage.synth.page.challenge import DrawnPage
from ecgpage.synth.page.model import segment_path
from ecgpage.synth.scene.scene import STRIDE, lattice_nodes

LEAD_IN = 5.0
"""mm before and after the lead that a crop shows."""


def crop_picture(drawn: DrawnPage, segment: int, *, lead_in: float = LEAD_IN) -> Crop:
    """The crop of one drawn segment (its index in ``drawn.truth.segments``), resampled once from the picture.

    ``lead_in`` mm are shown on both sides; the crop's first sample stands at column ``lead_in *
    PX_PER_MM_TIME`` (edge coordinates). Conventions as in ``crops``.
    """
    page = drawn.truth.page
    model = page.segments[segment]
    left, top = model.x0 - lead_in, model.baseline - HALF_HEIGHT
    length = (model.stop - model.start) * page.speed / page.fs + 2 * lead_in
    width = int(np.ceil(length * PX_PER_MM_TIME))
    nodes, rows, columns = lattice_nodes((CROP_ROWS, width))
    on_page = (nodes + 0.5) / (PX_PER_MM_TIME, PX_PER_MM_VOLTAGE) + (left, top)
    seen = drawn.truth.page_map.image_from_page(on_page).astype(np.float32).reshape(rows, columns, 2)
    size = (columns * STRIDE, rows * STRIDE)
    table = np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_LINEAR), np.float32)
    table = table[STRIDE : STRIDE + CROP_ROWS, STRIDE : STRIDE + width]
    grey = cv2.cvtColor(drawn.image, cv2.COLOR_RGB2GRAY)
    second: Any = None
    image = cv2.remap(grey, table, second, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    x, y = segment_path(page, model, drawn.masked_signal)
    column, row = (x - left) * PX_PER_MM_TIME, (y - top) * PX_PER_MM_VOLTAGE
    target, visible = per_column(column, row, width)
    visible &= per_column(column, np.where(drawn.truth.segments[segment].visible, row, np.nan), width)[1]
    return Crop(np.asarray(image, np.uint8), target, visible, target, model.lead)
