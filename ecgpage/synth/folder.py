"""Write drawn pages as the Challenge's training folder: headers, signals, pictures, truth files.

Per record: ``<rec>.hea`` (labels and image names in comments), ``<rec>.dat``, ``<rec>-0.png`` (one
picture per full 10 s), ``<rec>-0.npz`` with the truth. The header is written last, so a record with a
header is complete.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.synth.picture import draw_picture
from ecgpage.synth.sources import Recording
from ecgpage.synth.truth import DrawnPage, PageTruth
from ecgpage.synth.world import WORLD_MIXES, WorldPage, draw_world_page

PAGE_SECONDS = 10.0
"""Time, s, on one page."""
GAIN = 1000.0
"""Gain, digital units per mV, of the written signals."""
MISSING = -32768
"""Digital unit of a missing sample: NaN's code in 16-bit WFDB files."""
LATTICE_STEP = 32
"""Distance, px, of the points of the map in a truth file."""


@dataclass(frozen=True)
class Task:
    """Options of drawing the pages of one folder."""

    output: Path
    mixes: tuple[str, ...] = ("generator-clean",)
    """Names of the mixes; each picture has one at random."""
    seed: int = 0
    mask: bool = True
    """Whether signals are blank outside the printed windows."""
    extension: str = ".png"
    truth: bool = True


def write_record(task: Task, recording: Recording) -> bool:
    """Draw and write one record; False when it existed."""
    target = task.output / recording.name
    header = target.with_name(target.name + ".hea")
    if header.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    pages = draw_recording(task, recording)
    names = []
    for index, page in enumerate(pages):
        picture = target.with_name(f"{target.name}-{index}{task.extension}")
        _write_picture(picture, page.image)
        if task.truth:
            arrays = truth_arrays(page.truth, page.image)
            if isinstance(page, WorldPage):
                arrays["facts"] = np.array(page.facts.to_json())
            np.savez_compressed(target.with_name(f"{target.name}-{index}.npz"), **arrays)
        names.append(picture.name)
    signal = np.full(recording.signal.shape, np.nan, np.float32) if task.mask else recording.signal.copy()
    if task.mask:
        window = round(PAGE_SECONDS * recording.fs)
        for index, page in enumerate(pages):
            # a page may show what follows the record's end, which is not the record's
            signal[index * window : (index + 1) * window] = page.masked_signal[:window]
    labels = f"Labels: {', '.join(recording.labels)}"
    comments = [*recording.comments, labels, f"Image: {', '.join(names)}"]
    _write_wfdb(target, signal, recording.fs, comments, header)
    return True


def draw_recording(task: Task, recording: Recording) -> list[DrawnPage]:
    """Pictures, one per full 10 s, which depend on the task's seed and the record's name alone."""
    window = round(PAGE_SECONDS * recording.fs)
    count = len(recording.signal) // window
    if count == 0:
        raise EcgPageError(f"{recording.name}: shorter than {PAGE_SECONDS:g} s")
    pages: list[DrawnPage] = []
    for index in range(count):
        seed = (task.seed, zlib.crc32(recording.name.encode()), index)
        choice = np.random.default_rng((*seed, 1)).integers(len(task.mixes))
        part = recording.signal[index * window : (index + 1) * window]
        mix = task.mixes[int(choice)]
        if mix in WORLD_MIXES:
            pages.append(draw_world_page(part, recording.fs, mix=mix, seed=seed))
        else:
            pages.append(draw_picture(part, recording.fs, mix=mix, seed=seed, header=recording.patient()))
    return pages


def truth_arrays(truth: PageTruth, image: NDArray[np.uint8]) -> dict[str, Any]:
    """Arrays of a truth file.

    ``meta`` is JSON: layout, speed, gain, paper, px_per_mm, pulses, and for each segment lead, start,
    stop, strip, gain, box, name_box; ``xy`` (n, 2) float32 the image positions of all segments' samples,
    one segment after the other; ``visible`` (n,); ``corners`` and ``sheet_corners`` (4, 2); ``polygons``
    (segments, 4, 2); ``lattice`` (rows, columns, 2) page mm at the image positions ``LATTICE_STEP`` *
    (column, row). Pages of the world's mixes have ``facts``, too: JSON of ``ecgpage.synth.world.WorldFacts``.
    """
    segments = [
        {
            "lead": s.lead, "start": s.start, "stop": s.stop, "strip": s.strip, "gain": s.gain, "box": s.box,
            "name_box": s.name_box,
        }
        for s in truth.segments
    ]  # fmt: skip
    meta = {
        "layout": truth.layout, "speed": truth.speed, "gain": truth.gain, "paper": truth.paper,
        "px_per_mm": truth.px_per_mm, "pulses": truth.pulses, "segments": segments, "shape": image.shape,
        "lattice_step": LATTICE_STEP,
    }  # fmt: skip
    return {
        "meta": np.array(json.dumps(meta)),
        "xy": np.concatenate([s.xy for s in truth.segments]).astype(np.float32),
        "visible": np.concatenate([s.visible for s in truth.segments]),
        "corners": truth.corners,
        "sheet_corners": truth.sheet_corners,
        "polygons": np.stack([s.polygon for s in truth.segments]),
        "lattice": map_lattice(truth, (image.shape[0], image.shape[1])),
    }


def map_lattice(truth: PageTruth, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Page position (rows, columns, 2), mm, at every ``LATTICE_STEP``-th pixel."""
    x, y = np.meshgrid(np.arange(0, shape[1], LATTICE_STEP), np.arange(0, shape[0], LATTICE_STEP))
    points = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float64)
    return truth.page_map.page_from_image(points).reshape(*x.shape, 2).astype(np.float32)


def _write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    options = [cv2.IMWRITE_PNG_COMPRESSION, 3] if path.suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 94]
    done, data = cv2.imencode(path.suffix, image[..., ::-1], options)
    if not done:
        raise EcgPageError(f"{path}: pictures are written as .png or .jpg")
    path.write_bytes(np.asarray(data).tobytes())


def _write_wfdb(
    target: Path, signal: NDArray[np.float32], fs: float, comments: Sequence[str], header: Path
) -> None:
    """Write 16-bit WFDB files, NaN as the format's own code."""
    scaled = np.clip(np.round(signal.astype(np.float64) * GAIN), MISSING + 1, 32767)
    digital = np.where(np.isfinite(scaled), np.nan_to_num(scaled), MISSING).astype("<i2")
    target.with_name(target.name + ".dat").write_bytes(digital.tobytes())
    name = target.name
    lines = [f"{name} {len(LEADS)} {fs:g} {len(signal)}"]
    for k, lead in enumerate(LEADS):
        column = digital[:, k]
        checksum = int(column.astype(np.int64).sum()) % 65536
        lines.append(f"{name}.dat 16 {GAIN}(0)/mV 16 0 {column[0]} {checksum} 0 {lead}")
    text = "\n".join([*lines, *(f"# {comment}" for comment in comments)]) + "\n"
    draft = header.with_suffix(".part")
    draft.write_text(text)
    draft.replace(header)
