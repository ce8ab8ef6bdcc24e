"""Where the evidence for a diagnosis lies on the signal: what the classifier loses when it must do without 0.2 s of a lead.

Occlusion (Zeiler and Fergus 2014): each window of each lead is made unknown in turn, as if it had not been printed, which
the network knows from its training. What speaks for a class is the fall of its logit; below zero it speaks against it. It
tells what this network looks at, not what a cardiologist would.
"""

from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Image
from ecgpage.diagnosis.preprocessing import FS, WINDOW, to_windows
from ecgpage.diagnosis.signal_classifier import SignalClassifier
from ecgpage.export.overlay import draw_overlay
from ecgpage.pipeline import PageReading

WINDOW_S: Final = 0.2
"""Seconds that are left out at a time: a QRS complex with its edges."""
BATCH: Final = 32
FOR_COLOUR: Final = (255, 140, 0)
AGAINST_COLOUR: Final = (40, 120, 255)
HALO_MM: Final = 2.5
"""Half width of the band along a trace that carries the evidence."""
CAPTION_PX: Final = 30


def lead_evidence(
    classifier: SignalClassifier, signal: ArrayLike, fs: float, label: str
) -> NDArray[np.float64]:
    """Evidence for ``label`` in the first 10 s of a signal.

    Args:
        classifier: the signal branch.
        signal: float (n_samples, 12), mV, leads in the order ``ecg.LEADS``, NaN where unknown.
        fs: samples per second.
        label: one of the classifier's classes.

    Returns (12, 50): fall of the logit without window k of a lead, from 0.2 k s on; NaN where the window shows nothing.
    Raises EcgPageError for a class that the classifier does not know.
    """
    if label not in classifier.classes:
        raise EcgPageError(f"no class {label!r}; there are {', '.join(classifier.classes)}")
    length = round(WINDOW_S * FS)
    found = np.full((len(LEADS), WINDOW // length), np.nan)
    windows = to_windows(np.asarray(signal)[: round(WINDOW / FS * fs)], fs, LEADS)
    if len(windows) == 0:
        return found
    known = np.isfinite(windows[0]).reshape(len(LEADS), -1, length).any(axis=2)
    places = np.argwhere(known)
    without = np.repeat(windows[:1], len(places) + 1, axis=0)  # the last one is complete
    for x, (lead, k) in zip(without, places, strict=False):
        x[lead, k * length : (k + 1) * length] = np.nan
    device = next(classifier.network.parameters()).device
    column = classifier.classes.index(label)
    with torch.inference_mode():
        parts = torch.from_numpy(without).split(BATCH)
        logits = torch.cat([classifier.network(part.to(device))[:, column] for part in parts])
    found[known] = (logits[-1] - logits[:-1]).double().cpu().numpy()
    return found


def draw_evidence(
    image: Image, page: PageReading, evidence: NDArray[np.float64], caption: str, *, width_px: int = 1800
) -> Image:
    """The overlay of a page (``draw_overlay``) with bands along the traces: orange speaks for a class, blue against it.

    Args:
        image: uint8 (H, W, 3) RGB, as decoded.
        page: what was read of it.
        evidence: (12, 50) of ``lead_evidence``; the strongest window has the full colour.
        caption: written above.
        width_px: width of the picture, at most.

    Returns uint8 (30 + h, w, 3) RGB.
    """
    canvas = draw_overlay(image, page, width_px=width_px)
    scale = canvas.shape[1] / image.shape[1]
    strongest = float(np.nanmax(np.abs(evidence), initial=0.0))
    band = np.zeros(canvas.shape[:2], np.float32)  # -1 against ... 1 for
    thickness = max(2, round(2 * HALO_MM * page.grid.px_per_mm * scale))
    for trace in page.traces:
        segment = trace.segment
        time_s = segment.start_s + (trace.x_mm - segment.x0_mm) / page.plan.speed_mm_per_s
        window = np.clip((time_s / WINDOW_S).astype(int), 0, evidence.shape[1] - 1)
        x, y = page.grid.to_image(trace.x_mm, np.nan_to_num(trace.y_mm))
        points = np.rint(np.stack([x, y], axis=-1) * scale).astype(np.int32)
        for k in np.unique(window):
            inside = (window == k) & np.isfinite(trace.y_mm)
            value = evidence[LEADS.index(segment.lead), k]
            if inside.sum() < 2 or not np.isfinite(value) or strongest == 0:
                continue
            cv2.polylines(band, [points[inside]], False, float(value) / strongest, thickness)
    band = np.asarray(cv2.GaussianBlur(band, (0, 0), max(1.0, thickness / 6)), np.float32)
    share = np.minimum(np.abs(band), 1.0)[..., None] * 0.75
    colour = np.where(band[..., None] > 0, np.array(FOR_COLOUR), np.array(AGAINST_COLOUR)) / 255.0
    tinted = canvas * (1 - share * (1 - colour))  # as a marker would: ink stays dark
    drawn = np.asarray(np.rint(tinted), np.uint8)
    title = np.full((CAPTION_PX, drawn.shape[1], 3), 255, np.uint8)
    cv2.putText(title, caption, (8, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (30, 30, 30), 1, cv2.LINE_AA)
    return np.concatenate([title, drawn])
