"""Building blocks of the network (paper, sections 3.1, 4.1 and appendix A)."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Activation = Callable[[], nn.Module]
"""Makes one activation module."""

NORM_EPS = 1e-3
NORM_MOMENTUM = 0.1


def batch_norm(n: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(n, eps=NORM_EPS, momentum=NORM_MOMENTUM)


class ConvNormAct(nn.Module):
    """Convolution, batch norm, activation; ``fuse`` makes one convolution of the first two (section 4.2)."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, *, act: Activation = nn.SiLU
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = batch_norm(n_out)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.norm(self.conv(x)))
        return y

    def fuse(self) -> None:
        """In place, once the module is in evaluation mode."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class RepConv(nn.Module):
    """3x3 + 1x1 (+ identity where the shape allows) in training, one 3x3 convolution after ``fuse``.

    RepVGG's re-parameterised convolution as the paper plans it (section 4.1, figure 4); the heads' has no
    identity because it changes the number of channels.
    """

    def __init__(self, n_in: int, n_out: int, stride: int = 1, *, act: Activation = nn.SiLU) -> None:
        super().__init__()
        self.identity = batch_norm(n_in) if n_in == n_out and stride == 1 else None
        self.dense: nn.Module = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), batch_norm(n_out)
        )
        self.point: nn.Module | None = nn.Sequential(
            nn.Conv2d(n_in, n_out, 1, stride, bias=False), batch_norm(n_out)
        )
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dense(x)
        if self.point is not None:
            y = y + self.point(x)
        if self.identity is not None:
            y = y + self.identity(x)
        out: Tensor = self.act(y)
        return out

    def fuse(self) -> None:
        """In place, once the module is in evaluation mode: the branches' kernels and biases are added."""
        if not (isinstance(self.dense, nn.Sequential) and isinstance(self.point, nn.Sequential)):
            return
        one = _fused(self.dense[0], self.dense[1])
        point = _fused(self.point[0], self.point[1])
        bias = _bias(one)
        with torch.no_grad():
            one.weight += F.pad(point.weight, (1, 1, 1, 1))
            bias += _bias(point)
            if self.identity is not None:
                through = nn.Conv2d(one.in_channels, one.in_channels, 3, padding=1, bias=False).to(one.weight)
                nn.init.dirac_(through.weight)
                through = _fused(through.eval(), self.identity)
                one.weight += through.weight
                bias += _bias(through)
        self.dense, self.point, self.identity = one, None, None


def _fused(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    """One convolution of the two."""
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(conv, norm)


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


class Elan(nn.Module):
    """Efficient layer aggregation (section 3.1, figure 2c).

    Two 1x1 branches of ``hidden`` channels; the second runs through ``depth`` 3x3 convolutions of ``inner``
    channels. Both branches and every ``every``-th of the chain are concatenated and mixed to ``n_out``.
    """

    def __init__(
        self,
        n_in: int,
        hidden: int,
        inner: int,
        n_out: int,
        *,
        depth: int = 4,
        every: int = 1,
        act: Activation = nn.SiLU,
    ) -> None:
        super().__init__()
        self.every = every
        self.side = ConvNormAct(n_in, hidden, act=act)
        self.main = ConvNormAct(n_in, hidden, act=act)
        sizes = [hidden] + [inner] * depth
        self.chain = nn.ModuleList([ConvNormAct(a, b, 3, act=act) for a, b in pairwise(sizes)])
        self.mix = ConvNormAct(2 * hidden + depth // every * inner, n_out, act=act)

    def forward(self, x: Tensor) -> Tensor:
        y = self.main(x)
        parts = [self.side(x), y]
        for k, conv in enumerate(self.chain, 1):
            y = conv(y)
            if k % self.every == 0:
                parts.append(y)
        mixed: Tensor = self.mix(torch.cat(parts[::-1], 1))
        return mixed


class Down(nn.Module):
    """MP: halves the size through max pooling on one side, a strided convolution on the other (appendix A).

    Each side has ``half`` channels; the convolution's come first.
    """

    def __init__(self, n_in: int, half: int, *, act: Activation = nn.SiLU) -> None:
        super().__init__()
        self.after_pool = ConvNormAct(n_in, half, act=act)
        self.before_stride = ConvNormAct(n_in, half, act=act)
        self.strided = ConvNormAct(half, half, 3, 2, act=act)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.after_pool(F.max_pool2d(x, 2))
        return torch.cat([self.strided(self.before_stride(x)), pooled], 1)


def pyramid(x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """``x`` max-pooled over squares of each (odd) size, same shape; a larger square goes over a smaller one's."""
    pooled, before = [], 1
    for size in sizes:
        window = size - before + 1
        x = F.max_pool2d(x, window, 1, window // 2)
        pooled.append(x)
        before = size
    return pooled


POOLS = (5, 9, 13)
"""Squares of the spatial pyramid, cells."""


class SppCspc(nn.Module):
    """Spatial pyramid pooling in a cross-stage-partial block (SPPCSPC, appendix A), n_out channels inside."""

    def __init__(self, n_in: int, n_out: int, *, act: Activation = nn.SiLU) -> None:
        super().__init__()
        n = n_out
        self.enter = ConvNormAct(n_in, n, act=act)
        self.past = ConvNormAct(n_in, n, act=act)
        self.before = nn.Sequential(ConvNormAct(n, n, 3, act=act), ConvNormAct(n, n, act=act))
        self.after = nn.Sequential(
            ConvNormAct((1 + len(POOLS)) * n, n, act=act), ConvNormAct(n, n, 3, act=act)
        )
        self.mix = ConvNormAct(2 * n, n_out, act=act)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(self.enter(x))
        y = self.after(torch.cat([y, *pyramid(y, POOLS)], 1))
        mixed: Tensor = self.mix(torch.cat([y, self.past(x)], 1))
        return mixed


class SppCspcTiny(nn.Module):
    """The same with 1x1 convolutions only, as ``tiny`` has it."""

    def __init__(self, n_in: int, n_out: int, *, act: Activation) -> None:
        super().__init__()
        n = n_out
        self.past = ConvNormAct(n_in, n, act=act)
        self.enter = ConvNormAct(n_in, n, act=act)
        self.after = ConvNormAct((1 + len(POOLS)) * n, n, act=act)
        self.mix = ConvNormAct(2 * n, n_out, act=act)

    def forward(self, x: Tensor) -> Tensor:
        y = self.enter(x)
        y = self.after(torch.cat([*pyramid(y, POOLS)[::-1], y], 1))
        mixed: Tensor = self.mix(torch.cat([y, self.past(x)], 1))
        return mixed


class HeadConv(nn.Module):
    """1x1 convolution to a level's logits, with implicit knowledge where ``implicit``.

    Implicit knowledge (YOLOR, arXiv 2105.04206, section 4; here the paper's section 4.3) is a learned vector
    that is added to the features and another that multiplies the logits; ``fuse`` takes both into the
    convolution. Runs in float32 under autocast: bfloat16 logits place a wide box by pixels only.
    """

    def __init__(self, n_in: int, n_out: int, *, implicit: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 1)
        self.added = nn.Parameter(torch.randn(1, n_in, 1, 1) * 0.02) if implicit else None
        self.factor = nn.Parameter(1 + torch.randn(1, n_out, 1, 1) * 0.02) if implicit else None

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.conv.weight.dtype)
            y: Tensor = self.conv(x if self.added is None else x + self.added)
            return y if self.factor is None else y * self.factor

    def fuse(self) -> None:
        """In place."""
        if self.added is None or self.factor is None or self.conv.bias is None:
            return
        with torch.no_grad():
            self.conv.bias += (self.conv.weight * self.added).sum((1, 2, 3))
            self.conv.bias *= self.factor.flatten()
            self.conv.weight *= self.factor.view(-1, 1, 1, 1)
        self.added = self.factor = None
