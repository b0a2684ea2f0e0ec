"""Attention within events of different length, without padding."""

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cwolaflow.models.dropout import draw_seed

CHUNKS_PER_THREAD = 4


def starts_of(lengths: Tensor) -> Tensor:
    """Give the first row of every event and the number of rows, int64, shape (n_events + 1,)."""
    return functional.pad(lengths.cumsum(0), (1, 0))


def ragged_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    query_lengths: Tensor,
    key_lengths: Tensor,
    heads: int,
    dropout: float = 0.0,
) -> Tensor:
    """Let the queries of every event attend to the keys of that event.

    On a CPU by compiled loops whose time and memory follow the true number of particles; elsewhere
    by torch's fused attention on padded rows. A query of an event without keys gives zero.

    Parameters
    ----------
    queries, keys, values : tensor, shapes (n_queries, d), (n_keys, d), (n_keys, d)
        Rows of all events one after the other; d is heads × width.
    query_lengths, key_lengths : int64 tensor, shape (n_events,)
        Rows of every event.
    heads : int
    dropout : float
        Share of the weights of attention that are set to zero, drawn anew at every call; the others
        are scaled up.

    Returns
    -------
    tensor, shape (n_queries, d)
    """
    arguments = (queries, keys, values, query_lengths, key_lengths, heads, dropout)
    if queries.device.type == "cpu":
        return _CompiledAttention.apply(*arguments)
    return padded_attention(*arguments)


def padded_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    query_lengths: Tensor,
    key_lengths: Tensor,
    heads: int,
    dropout: float = 0.0,
) -> Tensor:
    """Do what `ragged_attention` does with torch's own attention, on padded rows."""
    query_mask, key_mask = _filled(query_lengths), _filled(key_lengths)
    padded = [
        _pad(rows, mask).unflatten(-1, (heads, -1)).transpose(1, 2)
        for rows, mask in ((queries, query_mask), (keys, key_mask), (values, key_mask))
    ]
    empty = ~key_mask.any(dim=1, keepdim=True)
    # A softmax over nothing would be NaN.
    attendable = (key_mask | empty)[:, None, None, :]
    attended = functional.scaled_dot_product_attention(
        *padded, attn_mask=attendable, dropout_p=dropout
    )
    attended = attended.transpose(1, 2).flatten(2).masked_fill(empty[:, :, None], 0)
    return attended[query_mask]


def _filled(lengths: Tensor) -> Tensor:
    longest = max(1, int(lengths.max())) if len(lengths) else 1
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def _pad(rows: Tensor, mask: Tensor) -> Tensor:
    return rows.new_zeros(*mask.shape, rows.shape[1]).masked_scatter(mask[:, :, None], rows)


def _chunks(work: np.ndarray, n_chunks: int) -> list[tuple[int, int]]:
    """Divide events into consecutive chunks of about the same work."""
    done = np.cumsum(work, dtype=np.float64)
    if not len(done):
        return []
    edges = np.searchsorted(done, done[-1] * np.arange(1, n_chunks) / n_chunks)
    edges = [0, *edges.tolist(), len(work)]
    return [(a, b) for a, b in pairwise(edges) if a < b]


def _over_events(kernel, work: np.ndarray, threads: int) -> None:
    """Run ``kernel(first, last)`` over all events; every event is done by one thread alone."""
    if threads == 1:
        kernel(0, len(work))
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda chunk: kernel(*chunk), _chunks(work, CHUNKS_PER_THREAD * threads)))


class _CompiledAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, queries, keys, values, query_lengths, key_lengths, heads, dropout):
        # Compiling, or loading what was compiled before, is for those alone who attend on a CPU.
        from cwolaflow.models import kernels

        rows = [tensor.detach().float() for tensor in (queries, keys, values)]
        starts = [starts_of(lengths).numpy() for lengths in (query_lengths, key_lengths)]
        out = torch.empty_like(rows[0], memory_format=torch.contiguous_format)
        lse = torch.empty(heads, len(out))
        scale = np.float32(1 / math.sqrt(queries.shape[1] // heads))
        seed = draw_seed() if dropout else 0
        settings = (heads, scale, round(dropout * kernels.SCALES), seed)
        work = (query_lengths * key_lengths + key_lengths).numpy()
        ctx.threads = torch.get_num_threads()
        arrays = [tensor.numpy() for tensor in rows]

        def kernel(first, last):
            kernels.attend(*arrays, *starts, *settings, first, last, out.numpy(), lse.numpy())

        _over_events(kernel, work, ctx.threads)
        ctx.save_for_backward(*rows, out, lse)
        ctx.starts, ctx.settings, ctx.work = starts, settings, work
        ctx.dtypes = [tensor.dtype for tensor in (queries, keys, values)]
        return out.to(queries.dtype)

    @staticmethod
    def backward(ctx, slopes):
        from cwolaflow.models import kernels

        *rows, out, lse = ctx.saved_tensors
        slopes = slopes.float().contiguous()
        found = [torch.empty(tensor.shape) for tensor in rows]
        arrays = [tensor.numpy() for tensor in rows]
        given = [tensor.numpy() for tensor in (out, lse, slopes, *found)]

        def kernel(first, last):
            kernels.attend_backward(*arrays, *ctx.starts, *ctx.settings, first, last, *given)

        _over_events(kernel, ctx.work, ctx.threads)
        made = (tensor.to(dtype) for tensor, dtype in zip(found, ctx.dtypes, strict=True))
        return *made, None, None, None, None
