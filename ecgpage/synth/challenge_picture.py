"""Draw the clean page of the Challenge's own generator with its truth."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Rng
from ecgpage.synth.page.challenge import GRID_COLORS, challenge_page, invent_patient, random_grid_colors
from ecgpage.synth.page.model import BLACK, Color, Grid, masked_signal
from ecgpage.synth.page.rasterize import draw_page
from ecgpage.synth.scene.page_map import flat_map
from ecgpage.synth.truth import DrawnPage, page_truth


def draw_challenge_page(
    signal: NDArray[np.floating],
    fs: float,
    *,
    seed: int = 0,
    lead_names: Sequence[str] = LEADS,
    header: Mapping[str, str] | None = None,
    dpi: float = 200.0,
    pulse: bool = True,
    black_and_white: bool = False,
    grid_color: str | tuple[Color, Color] | None = None,
    print_header: bool = True,
    ink: Color | None = None,
) -> DrawnPage:
    """Draw the generator's page of a 10-s, 12-lead ECG.

    ``signal`` (n_samples, 12) mV with the columns ``lead_names``, at ``fs`` Hz. ``header`` maps ID, Name,
    Date, Age, Height, Weight, Sex to what is printed; left out, an invented patient is printed.
    ``grid_color`` is a name in ``GRID_COLORS``, a pair (major, minor) of RGB 0-255, "random", or None for
    red. ``seed`` decides the grey of the ink, unless ``ink`` (RGB 0-255) is given, and the invented
    patient.
    """
    rng = np.random.default_rng(seed)
    cells = header if header is not None else invent_patient(rng)
    model = challenge_page(
        signal.shape[0],
        fs,
        lead_names=lead_names,
        header=cells if print_header else None,
        pulse=pulse,
        grid=_choose_grid(grid_color, black_and_white, rng),
        ink=BLACK if black_and_white else ink or (float(rng.uniform(0, 51)),) * 3,
    )
    image = draw_page(model, signal, dpi)
    return DrawnPage(
        image=image,
        truth=page_truth(model, signal, flat_map(dpi), (image.shape[0], image.shape[1])),
        masked_signal=masked_signal(model, signal),
    )


def _choose_grid(color: str | tuple[Color, Color] | None, black_and_white: bool, rng: Rng) -> Grid:
    if black_and_white:
        color = "grey"
    if color == "random":
        color = random_grid_colors(rng)
    if color is None:
        color = "red"
    major, minor = GRID_COLORS[color] if isinstance(color, str) else color
    return Grid(major, minor)
