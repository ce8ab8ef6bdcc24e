"""Read the waveform of leads from crops of the picture by the trace network, whatever runs it.

The network sees a grey crop of the flat page, 40 mm high around the lead's usual level, and gives for each
2 ms (half a crop column) a distribution over voltage. The value is the distribution's mean around the bin
through which the minimum-cost path runs, so it lies between the bins; two further outputs give the probability
that the lead is drawn and the expected error of the value. Long crops are read in overlapping tiles.

Conventions:
    crop      uint8 (ROWS, W) grey, 8 px/mm along voltage, 10 px/mm along time, W a multiple of ``STRIDE``;
              the level runs at edge row ROWS / 2, that is, between the pixel rows 159 and 160
    step      half a pixel along time: 0.05 mm, 2 ms at 25 mm/s; step j lies at edge column (j + 0.5) / 2
    bin       two pixels along voltage; bin b is centred at edge row 2 * b + 1
    height    mm above the level (up is positive), so mV = height / 10 at 10 mm/mV
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from ecgpage.core.runtime import Network, Runtime, choose_runtime
from ecgpage.core.types import Image, Light
from ecgpage.core.weights import load_card, load_state
from ecgpage.grid.grid_map import GridMap
from ecgpage.trace.crops import (
    Reading,
    Tile,
    Window,
    batches_of_one_width,
    complete_crop,
    cut_crop,
    join_tiles,
    leaves_crop,
    reading_of_tiles,
    tile_edges,
)
from ecgpage.trace.decoding import Decoded, Outputs, decode
from ecgpage.trace.options import TraceOptions

NAME: Final = "trace"
"""Name of the weights in the model folder."""
BATCH: Final = 2
"""Number of tiles that go through the network together: more do not fit into a processor's cache."""


class CropReader:
    """Reader of the traces of a page's leads, ready to use."""

    def __init__(self, network: Network) -> None:
        """``network``: from crops (b, 1, ROWS, W), 0 to 1, to the outputs of ``TraceNet.forward``."""
        self.network = network

    @classmethod
    def load(cls, folder: str | Path, runtime: Runtime | None = None) -> "CropReader":
        """Reader of a model folder; EcgPageError when its weights are missing or damaged."""
        runtime = runtime or choose_runtime()
        if runtime.name == "torch":
            from ecgpage.core.torch_runtime import TorchNetwork  # noqa: PLC0415 - only this way needs PyTorch
            from ecgpage.trace.network import load_network  # noqa: PLC0415

            return cls(TorchNetwork(load_network(folder, NAME), runtime.device))
        from ecgpage.core.onnx_runtime import load_graph  # noqa: PLC0415

        settings = load_card(folder, NAME).settings
        return cls(load_graph(folder, NAME, load_state(folder, NAME), settings))

    def read(
        self, image: Image, grid: GridMap, windows: Sequence[Window], options: TraceOptions = TraceOptions()
    ) -> list[Reading]:
        """Readings of the windows of a page, one each, from their left to their right ends."""
        wide = self.read_wide(image, grid, windows, options)
        return [r.cut(x0, x1) for r, (x0, x1, _) in zip(wide, windows, strict=True)]

    def read_wide(
        self, image: Image, grid: GridMap, windows: Sequence[Window], options: TraceOptions = TraceOptions()
    ) -> list[Reading]:
        """Readings of the windows of a page with MARGIN_MM before and behind each.

        ``image``: original picture, uint8 (H, W, 3) RGB, from which each window is resampled once. A trace that comes near
        a crop's edge is read again from a taller crop.
        """
        if not windows:
            return []
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        found = self.read_crops([cut_crop(grey, grid, *window) for window in windows], options)
        leaving = [k for k, decoded in enumerate(found) if leaves_crop(decoded, options)]
        tall = self.read_crops(
            [cut_crop(grey, grid, *windows[k], shrink=options.tall) for k in leaving], options
        )
        for k, decoded in zip(leaving, tall, strict=True):
            found[k] = complete_crop(found[k], decoded, options)
        return [
            reading_of_tiles(decoded, window, options) for decoded, window in zip(found, windows, strict=True)
        ]

    def read_crops(self, crops: Sequence[Light], options: TraceOptions = TraceOptions()) -> list[Decoded]:
        """Decoded crops, (1, 2 W) for each crop (ROWS, W); widths are multiples of STRIDE and may differ.

        Long crops are read in overlapping tiles.
        """
        tiles = [Tile(k, a, b) for k, crop in enumerate(crops) for a, b in tile_edges(crop.shape[1])]
        for same in batches_of_one_width(tiles):
            outputs = [
                self._outputs(np.stack([crops[t.crop][:, t.start : t.stop] for t in same[k : k + BATCH]]))
                for k in range(0, len(same), BATCH)
            ]
            logits, drawn, log_error = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
            found = decode(logits, drawn, log_error, options)
            for row, tile in enumerate(same):
                tile.found = found.row(row)
        return [join_tiles([t for t in tiles if t.crop == k]) for k in range(len(crops))]

    def _outputs(self, crops: Light) -> tuple[Outputs, ...]:
        """Outputs of the network, float32, for crops uint8 (b, ROWS, W)."""
        return self.network(crops[:, None].astype(np.float32) / 255)
