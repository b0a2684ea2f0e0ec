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


class _CompiledDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, probability: float) -> Tensor:
        # Compiling, or loading what was compiled before, is for those alone who drop on a CPU.
        from cwolaflow.models import kernels

        def drop(numbers: Tensor) -> Tensor:
            given = numbers.detach().float().contiguous()
            out = torch.empty_like(given)
            kernels.drop(given.view(-1).numpy(), dropped, seed, out.view(-1).numpy())
            return out.to(numbers.dtype)

        dropped, seed = round(probability * kernels.SCALES), draw_seed()
        ctx.drop = drop
        return drop(values)

    @staticmethod
    def backward(ctx, slopes: Tensor) -> tuple[Tensor, None]:
        return ctx.drop(slopes), None


class Dropout(nn.Dropout):
    """Dropout by compiled loops where torch's own, on a CPU, is slow."""

    def forward(self, values: Tensor) -> Tensor:
        """Set values to zero with probability ``p`` and scale the others up."""
        if not self.training or not self.p or values.device.type != "cpu":
            return super().forward(values)
        return _CompiledDropout.apply(values, self.p)


def draws_by_piece(model: nn.Module) -> bool:
    """Tell whether all that a network draws at random comes from here."""
    drawing = [
        layer for layer in model.modules() if isinstance(layer, nn.modules.dropout._DropoutNd)
    ]
    return bool(drawing) and all(isinstance(layer, Dropout) for layer in drawing)
