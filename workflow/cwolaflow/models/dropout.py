"""Dropout that draws by the piece of a batch, so that threads can do pieces side by side."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_drawing = threading.local()


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Let `Dropout` and `draw_seed` draw in this thread from a CPU generator of their own."""
    before = _generator()
    _drawing.generator = torch.Generator().manual_seed(seed)
    try:
        yield
    finally:
        _drawing.generator = before


def _generator() -> torch.Generator | None:
    return getattr(_drawing, "generator", None)


def draw_seed() -> int:
    """Draw a number of 32 bits."""
    return int(torch.randint(2**32, (), generator=_generator()))


class Dropout(nn.Dropout):
    """Dropout that takes 16 random bits a number where torch's own, on a CPU, is slow."""

    def forward(self, values: Tensor) -> Tensor:
        """Set values to zero with probability ``p``, rounded to 1/65,536, and scale the others."""
        if not self.training or not self.p or values.device.type != "cpu":
            return super().forward(values)
        n = values.numel()
        bits = torch.empty(-(-n // 4), dtype=torch.int64)
        bits.random_(-(2**63), None, generator=_generator())
        dropped = round(self.p * 2**16)
        kept = bits.view(torch.int16)[:n].view(values.shape) >= dropped - 2**15
        return values * kept.to(values.dtype).mul_(2**16 / (2**16 - dropped))


def draws_by_piece(model: nn.Module) -> bool:
    """Tell whether all that a network draws at random comes from here."""
    drawing = [
        layer for layer in model.modules() if isinstance(layer, nn.modules.dropout._DropoutNd)
    ]
    return bool(drawing) and all(isinstance(layer, Dropout) for layer in drawing)
