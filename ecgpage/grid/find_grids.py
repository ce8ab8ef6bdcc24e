"""Maps of all grids that a picture may show, the likeliest first: tracked ones, and strictly periodic ones."""

import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.threads import one_thread
from ecgpage.core.types import Image, Light
from ecgpage.grid.axes import fits_axes, map_axes, read_axes
from ecgpage.grid.candidates import grid_candidates
from ecgpage.grid.comb import TURNS_RAD, CombSpectrum, GridComb, weigh_side
from ecgpage.grid.comb_refinement import MeasuredComb, measure_comb
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.likelihood import is_bent, weigh_grid, weigh_in_picture
from ecgpage.grid.options import GridOptions
from ecgpage.grid.periodic_map import lay_lattice, map_comb, map_unbent
from ecgpage.grid.spectrum import FINE_LINES, GridFrequency, find_frequencies, measure_working_picture
from ecgpage.grid.strokes import remove_strokes
from ecgpage.image.decode import balance_paper, darkest_channel

log = logging.getLogger(__name__)

UPRIGHT_RAD: Final = float(np.deg2rad(15))
"""Directions up to which a picture lies as upright as scans and screens do."""
MOST_TILTED_RAD: Final = float(np.deg2rad(40))
"""Directions up to which other ones are looked at."""
LINES_MV: Final = (1.0, 2.0, 0.4)
"""Distances of the stronger lines along y of plots, over half a millivolt."""


def find_grids(
    image: Image, most: int, failures: list[EcgPageError], options: GridOptions = GridOptions()
) -> Iterator[GridMap]:
    """Maps of the grids of a uint8 (H, W, 3) RGB image, the likeliest first; reasons for missing ones go to ``failures``.

    A tracked grid follows folds and perspective, but may follow a multiple of the true distance. Where the picture's spectrum
    shows a strictly periodic grid clearly, tracked grids come first if they agree with it, last if not. Where numbers along
    axes give both scales, a map by them comes before grids that do not fit the numbers at any usual speed and gain.
    ``most``: number of tracked grids.
    """
    picture = measure_working_picture(image)
    spectrum = CombSpectrum.measure(picture)
    frequencies = find_frequencies(picture, options=options)
    combs = _find_combs(spectrum, frequencies, options)
    axes = read_axes(image)
    numbered = map_axes(axes, image.shape[:2])
    light = darkest_channel(image)
    for grid in _list_grids(image, light, spectrum, frequencies, combs, most, failures, options):
        if numbered is not None and not fits_axes(grid, axes):
            yield replace(numbered, log_odds=_weigh_lines(numbered, spectrum, options), axes=axes)
            numbered = None
        yield replace(grid, axes=axes)
    if numbered is not None:
        yield replace(numbered, log_odds=_weigh_lines(numbered, spectrum, options), axes=axes)


def _weigh_lines(numbered: GridMap, spectrum: CombSpectrum, options: GridOptions) -> float:
    """Log odds of a map by the numbers of axes, whose lines may stand a half, one, or a fifth of a millivolt apart."""
    odds = [
        weigh_in_picture(replace(numbered, nodes=numbered.nodes * (1.0, stretch)), spectrum, options)
        for stretch in LINES_MV
    ]
    return float(np.logaddexp.reduce(odds) - np.log(len(odds)))


def _list_grids(
    image: Image,
    light: Light,
    spectrum: CombSpectrum,
    frequencies: list[GridFrequency],
    combs: list[GridComb],
    most: int,
    failures: list[EcgPageError],
    options: GridOptions,
) -> Iterator[GridMap]:
    """Tracked and strictly periodic grids with their log odds, the likeliest first."""

    def weighed(grids: Iterator[GridMap]) -> Iterator[GridMap]:
        return (replace(g, log_odds=weigh_grid(light, g, spectrum, options)) for g in grids)

    dark = np.asarray(255 - light, np.uint8)
    least = max(options.least_comb, combs[0].score - options.rival_comb) if combs else 0.0
    leading = [measure_comb(spectrum, comb) for comb in combs if comb.score >= least]
    unbent = (map_unbent(dark, measured, options) for measured in leading)
    yield from weighed(drawn for drawn in unbent if drawn is not None)
    if not leading or combs[0].score < options.min_comb:
        yield from weighed(_track_grids(image, frequencies, most, failures, options))
        yield from weighed(_map_combs(dark, leading, failures, options))
        return
    best = leading[0]
    log.debug("periodic grid: %.2f, %.2f px, score %.1f", *best.comb.pitch_px, best.comb.score)
    alike, unlike = list[GridFrequency](), list[GridFrequency]()
    for frequency in frequencies:
        (alike if _may_be(frequency, best.comb, options) else unlike).append(frequency)
    looked_at = _track_grids(image, alike, most, failures, options, again=False) if alike else iter(())
    tracked = weighed(looked_at)
    others: list[GridMap] = []
    is_alone = True
    for grid in tracked:
        if not agrees(grid, best.comb, options):
            others.append(grid)
            break
        is_alone = False
        yield grid
    if is_alone and unlike:
        # paper that bends shows no frequency of its own, and something else may
        bent = next(weighed(_track_grids(image, unlike, 1, failures, options, again=False)), None)
        if bent is not None and _is_likelier(bent, best.comb, max(light.shape)):
            yield bent
        elif bent is not None:
            others.append(bent)
    yield from weighed(_map_combs(dark, leading, failures, options))
    yield from others
    yield from tracked


def _is_likelier(grid: GridMap, comb: GridComb, side_px: int) -> bool:
    """Whether a bent grid is likelier than a strictly periodic one. One that lies as evenly was weighed beside it already.

    ``side_px``: longer side of the picture.
    """
    side = float(weigh_side(side_px / grid.px_per_mm))
    return is_bent(grid) and grid.log_odds + side > comb.score


def _find_combs(
    spectrum: CombSpectrum, frequencies: list[GridFrequency], options: GridOptions
) -> list[GridComb]:
    """Strictly periodic grids near the picture's axes; in other directions only where none shows there, for the diagonals of
    a grid are periodic, too.
    """
    angles = _list_angles(frequencies)
    upright = spectrum.find_combs([a for a in angles if abs(a) < UPRIGHT_RAD], options=options)
    if (upright and upright[0].score >= options.min_comb) or all(abs(a) < UPRIGHT_RAD for a in angles):
        return upright
    tilted = [a for a in angles if UPRIGHT_RAD <= abs(a) < MOST_TILTED_RAD]
    found = upright + (spectrum.find_combs(tilted, options=options) if tilted else [])
    return sorted(found, key=lambda comb: -comb.score)


def _may_be(frequency: GridFrequency, comb: GridComb, options: GridOptions) -> bool:
    """Whether lines of a frequency may be the 5-mm or the 1-mm lines of a periodic grid."""
    ratio = frequency.period_px / float(np.sqrt(comb.pitch_px[0] * comb.pitch_px[1]))
    return min(abs(np.log(ratio)), abs(np.log(ratio * FINE_LINES))) < options.comb_agrees


def agrees(grid: GridMap, comb: GridComb, options: GridOptions = GridOptions()) -> bool:
    """Whether the lines of a map are as far apart as those of a periodic grid."""
    ratio = [a / p for a, p in zip(grid.pitch_px, comb.pitch_px, strict=True)]
    return max(abs(np.log(r)) for r in ratio) < options.comb_agrees


def _list_angles(frequencies: list[GridFrequency]) -> list[float]:
    """Directions, radians, of the frequencies, and 0, none within another's reach."""
    angles = [0.0]
    for frequency in frequencies:
        if min(abs(frequency.angle_rad - a) for a in angles) > float(TURNS_RAD[-1]):
            angles.append(frequency.angle_rad)
    return angles


def _track_grids(
    image: Image,
    frequencies: list[GridFrequency],
    most: int,
    failures: list[EcgPageError],
    options: GridOptions,
    *,
    again: bool = True,
) -> Iterator[GridMap]:
    """Tracked grids, and with ``again`` one that is found behind gaps, or where none is, one behind the strokes."""
    is_found = False
    for bridge_gaps, limit in ((False, most), (True, 1))[: 1 + again]:
        found = grid_candidates(image, frequencies, options=replace(options, bridge_gaps=bridge_gaps))
        try:
            for grid in itertools.islice(found, limit):
                is_found = True
                yield grid
        except EcgPageError as error:
            failures.append(error)
    if again and not is_found:
        yield from _track_behind(image, failures, options)


def _track_behind(image: Image, failures: list[EcgPageError], options: GridOptions) -> Iterator[GridMap]:
    """The first grid that is tracked on paper whose colour is balanced, or behind the strokes."""
    balanced = balance_paper(image)
    for picture in (balanced, remove_strokes(image if balanced is None else balanced)):
        if picture is not None:
            frequencies = find_frequencies(measure_working_picture(picture), options=options)
            grid = next(_track_grids(picture, frequencies, 1, failures, options, again=False), None)
            if grid is not None:
                yield grid
                return


def _map_combs(
    dark: Light, combs: list[MeasuredComb], failures: list[EcgPageError], options: GridOptions
) -> Iterator[GridMap]:
    """Maps of strictly periodic grids, bent as their patterns show; ``dark``: 255 minus the darkest channel."""
    for measured in combs:
        try:
            with one_thread():
                grid = map_comb(dark, measured.comb, options)
            if grid.residual_px < options.max_error_mm * grid.px_per_mm:
                yield grid
        except EcgPageError as error:
            failures.append(error)
            yield lay_lattice(
                dark, measured.comb
            )  # panels, each with a grid that begins anew, are no one pattern
