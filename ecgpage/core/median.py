"""Median of a few pictures, pixel by pixel: whole pictures are compared, which is faster than sorting each pixel's values."""

from collections.abc import Sequence

import numpy as np

from ecgpage.core.types import Grey


def median_of(pictures: Sequence[Grey]) -> Grey:
    """Median of each pixel over float32 ``pictures`` (h, w) of one shape; the mean of the middle two of an even number.

    Forgetful selection: among a little more than half of the values neither the smallest nor the largest can be the median,
    so both are dropped and the next picture is added, until all have been seen. Raises ValueError without pictures.
    """
    if not pictures:
        raise ValueError("no pictures, no median")
    first = min(len(pictures), len(pictures) // 2 + 2)
    pool = [np.array(p, np.float32) for p in pictures[:first]]
    waiting = list(pictures[first:])
    spare = np.empty_like(pool[0])
    while len(pool) > 2 or waiting:
        spare = _ends_outside(pool, spare)
        pool = pool[1:-1]
        if waiting:
            pool.append(np.array(waiting.pop(), np.float32))
    return pool[0] if len(pool) == 1 else (pool[0] + pool[1]) / np.float32(2)


def _ends_outside(pool: list[Grey], spare: Grey) -> Grey:
    """Exchange values between the pictures of ``pool`` so that the first holds each pixel's smallest value, the last its
    largest; returns a picture that may be overwritten, as ``spare`` was.
    """
    last, half = len(pool) - 1, len(pool) // 2
    pairs = [(k, last - k) for k in range(half)]
    pairs += [(0, k) for k in range(1, last - half + 1)]  # the smallest is in the first half
    pairs += [(k, last) for k in range(half, last)]
    for a, b in pairs:
        np.minimum(pool[a], pool[b], out=spare)
        np.maximum(pool[a], pool[b], out=pool[b])
        pool[a], spare = spare, pool[a]
    return spare
