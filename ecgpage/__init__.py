"""From a picture of a 12-lead ECG to its signals in millivolts and to diagnoses.

    from ecgpage import Reader

    found = Reader().digitize("page.jpg")
    found.signal, found.status, found.labels

A folder a stage, in the order of the data; imports run downwards only:

    core -> image -> grid -> layout -> trace -> signal -> pipeline -> diagnosis -> reader

What stands in ``__all__`` is loaded when it is asked for, so that the package itself is imported in no time.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecgpage.core.conventions import EcgPageError
    from ecgpage.image.decode import read_image
    from ecgpage.layout.options import Hints
    from ecgpage.reader import Digitization, Reader

__version__ = "0.1.0"

__all__ = ["Digitization", "EcgPageError", "Hints", "Reader", "__version__", "read_image"]

_HOMES = {
    "Digitization": "ecgpage.reader",
    "EcgPageError": "ecgpage.core.conventions",
    "Hints": "ecgpage.layout.options",
    "Reader": "ecgpage.reader",
    "read_image": "ecgpage.image.decode",
}
"""Module of each public name."""

if not TYPE_CHECKING:  # a type checker would take every name for one of the package's

    def __getattr__(name: str) -> object:
        """Load a public name."""
        from importlib import import_module  # noqa: PLC0415 (not to be a name of the package)

        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
