"""Pages of plotting packages carry their truth: ink lies where the truth says."""

import numpy as np
import pytest

from tests.synth.pages import FS, ecg

pytest.importorskip("ecg_plot")
pytest.importorskip("pmecg")

from bench.plotted_pages import SETTINGS, Setting, draw_plotted
from ecgpage.core.conventions import LEADS


@pytest.mark.medium
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"{s.package}: {s.name}")
def test_ink_lies_on_the_truth(setting: Setting) -> None:
    signal = ecg(2).T
    image, facts = draw_plotted(setting, signal, FS)
    ink = image[..., 0]  # red grids are light in red
    per_mv = facts["trace_px_per_mm"][1] * facts["gain"]
    per_s = facts["trace_px_per_mm"][0] * facts["speed"]
    names = {s["lead"] for s in facts["segments"]}
    assert names == set(LEADS)
    for segment in facts["segments"]:
        (x0, y0), (x1, _) = segment["start_px"], segment["end_px"]
        assert (x1 - x0) / (segment["t1"] - segment["t0"]) == pytest.approx(per_s, rel=1e-3)
        upside_down = setting.layout.startswith("cabrera") and segment["lead"] == "aVR"
        first, last = (round(segment[k] * FS) for k in ("t0", "t1"))
        mv = signal[LEADS.index(segment["lead"]), first:last] * (-1 if upside_down else 1)
        x = x0 + np.arange(len(mv)) / FS * per_s
        y = y0 - mv * per_mv
        calm = np.abs(np.gradient(y)) < 0.1
        inside = calm & (x > 4) & (x < image.shape[1] - 4) & (y > 4) & (y < image.shape[0] - 4)
        column, row = np.round(x[inside]).astype(int), np.round(y[inside]).astype(int)
        on = np.min([ink[row + d, column] for d in (-1, 0, 1)], axis=0)
        beside = np.min([ink[row + d, column] for d in (4, 5, 6)], axis=0)
        assert np.mean(on < beside) > 0.75, segment["lead"]
