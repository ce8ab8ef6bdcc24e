"""Layers in 8 bits are worth what convolution and batch norm were, within half a step a weight."""

import numpy as np

from ecgpage.core.eight_bits import BIAS, BIAS_SCALE, MOST, SCALE, WEIGHT, fold_norm, in_eight_bits

STEP = 0.02


def layer(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """State of a layer ``a`` of three channels into four, and of something else."""
    norm = {key: rng.standard_normal(4) for key in ("weight", "bias", "running_mean")}
    norm["running_var"] = rng.uniform(0.5, 2, 4)
    state = {f"a.norm.{key}": value for key, value in norm.items()}
    state |= {"a.conv.weight": rng.standard_normal((4, 3, 3, 3)), "b.weight": rng.standard_normal(5)}
    return {key: value.astype(np.float32) for key, value in (state | {"held": np.ones(2)}).items()}


def test_a_folded_norm_answers_as_convolution_and_norm() -> None:
    rng = np.random.default_rng(1)
    state, seen = layer(rng), rng.standard_normal((3, 3, 3))
    weight, bias = fold_norm(state, "a")
    plain = (state["a.conv.weight"] * seen).sum((1, 2, 3)) - state["a.norm.running_mean"]
    wanted = plain / np.sqrt(state["a.norm.running_var"] + 1e-5) * state["a.norm.weight"]
    np.testing.assert_allclose(
        (weight * seen).sum((1, 2, 3)) + bias, wanted + state["a.norm.bias"], atol=1e-4
    )


def test_integers_are_worth_the_weights() -> None:
    state = layer(np.random.default_rng(2))
    weight, bias = fold_norm(state, "a")
    found = in_eight_bits(state, {"a": STEP}, ["held"])
    assert set(found) == {"b.weight", *(f"a.{end}" for end in (WEIGHT, SCALE, BIAS, BIAS_SCALE))}
    whole, scale = found[f"a.{WEIGHT}"], np.asarray(found[f"a.{SCALE}"])
    assert whole.dtype == np.int8
    assert (np.abs(whole.astype(int)).max((1, 2, 3)) == MOST).all()  # 2 x 255 x 63 does not overflow 16 bits
    assert (np.abs(whole * scale[:, None, None, None] - weight).max((1, 2, 3)) <= 0.501 * scale).all()
    np.testing.assert_allclose(found[f"a.{BIAS_SCALE}"], scale * STEP, rtol=1e-6)
    np.testing.assert_allclose(found[f"a.{BIAS}"] * (scale * STEP), bias, atol=float((scale * STEP).max()))


def test_a_channel_of_zeros_stays_one() -> None:
    state = layer(np.random.default_rng(3))
    state["a.norm.weight"][1] = 0
    found = in_eight_bits(state, {"a": STEP})
    assert not np.any(found[f"a.{WEIGHT}"][1])
    assert np.isfinite(np.asarray(found[f"a.{SCALE}"])).all()
