"""Linear algebra on one thread: the pieces are small, and two threads on busy cores wait for each other, which
takes up to a hundred times as long.
"""

from contextlib import AbstractContextManager
from functools import cache

import scipy.linalg  # noqa: F401 - the library's own copy of BLAS has to be there to be found
from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """While it is entered NumPy and SciPy multiply and solve on one thread; 0.05 ms."""
    found: AbstractContextManager[object] = _blas().limit(limits=1)
    return found


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
