"""Network blocks that several stages share."""

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# --- network ------------------------------------------------------------------------------------------------


class ConvNorm(nn.Module):
    """Convolution and batch norm, (b, n_in, h, w) to (b, n_out, h / stride, w / stride); ``fuse`` makes them one layer."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y

    def fuse(self) -> None:
        """Replace convolution and batch norm, in evaluation mode, by one convolution."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()
