"""Find the weights that came with the package; without PyTorch, so that a command line can ask for them at once."""

from pathlib import Path
from typing import Final

from ecgpage.core.conventions import EcgPageError

TABLE: Final = "weights.json"
"""File name of the table in a model folder."""


def find_weights() -> Path:
    """Folder of the shipped weights: in the installed package, or beside it in the repository."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "model", package.parent / "model"):
        if (folder / TABLE).exists():
            return folder
    raise EcgPageError(
        f"{package / 'model'}: no weights there; install the package again, or name a folder: Reader(model=FOLDER)"
    )
