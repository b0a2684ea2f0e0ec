"""The fast networks against the same written down plainly: outputs and gradients."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from cwolaflow.models import build_model, count_parameters
from cwolaflow.models.dropout import Dropout
from cwolaflow.models.ragged_attention import _chunks, padded_attention, ragged_attention

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from plain_networks import PlainEventCNN, PlainParticleTransformer

PART = {
    "embedding": [16, 64, 16],
    "heads": 4,
    "feed_forward": 64,
    "particle_blocks": 1,
    "class_blocks": 1,
    "dropout": 0.1,
}
CNN = {"filters": [32, 64], "residual_blocks": 2, "dense": [256, 128, 128], "dropout": 0.1}


def with_spread(model, spread):
    """Weights of some size: those at the start would hide what depends on large scores."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return model


def compare(fast, plain, *arguments):
    labels = torch.arange(len(arguments[0])).remainder(2).float()
    for model in (fast, plain):
        model.eval()
        functional.binary_cross_entropy_with_logits(model(*arguments)[:, 0], labels).backward()
    torch.testing.assert_close(fast(*arguments), plain(*arguments), atol=1e-4, rtol=1e-3)
    slopes = dict(plain.named_parameters())
    for name, parameter in fast.named_parameters():
        scale = slopes[name].grad.abs().max()
        torch.testing.assert_close(
            parameter.grad, slopes[name].grad, atol=2e-4 * float(scale) + 1e-7, rtol=2e-3, msg=name
        )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("blocks", [(1, 1), (2, 2)])
def test_particle_transformer_equals_the_plain_one(blocks, spread, threads):
    torch.manual_seed(3)
    options = PART | {"particle_blocks": blocks[0], "class_blocks": blocks[1]}
    fast = with_spread(build_model({"name": "particle_transformer"} | options, (6,)), spread)
    plain = PlainParticleTransformer(6, **options)
    plain.load_state_dict(fast.state_dict())
    lengths = torch.tensor([1, 40, 7, 2, 23, 40, 11])
    mask = torch.arange(40) < lengths[:, None]
    features = torch.randn(7, 40, 6) * mask[:, :, None]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        compare(fast, plain, features, mask)
    finally:
        torch.set_num_threads(before)


def test_event_cnn_equals_the_plain_one():
    torch.manual_seed(4)
    fast = build_model({"name": "event_cnn"} | CNN, (3, 40, 40))
    plain = PlainEventCNN(3)
    plain.load_state_dict(fast.state_dict())
    compare(fast, plain, torch.randn(8, 3, 40, 40))


@pytest.mark.parametrize(("channels", "expected"), [(3, 270215), (2, 269925)])
def test_event_cnn_has_the_published_size(channels, expected):
    assert (
        count_parameters(build_model({"name": "event_cnn"} | CNN, (channels, 40, 40))) == expected
    )


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_compiled_attention_equals_that_of_torch(scale):
    torch.manual_seed(5)
    query_lengths = torch.tensor([3, 1, 0, 2, 9])
    key_lengths = torch.tensor([4, 0, 3, 1, 50])
    rows = [
        (scale * torch.randn(int(n), 8)).requires_grad_()
        for n in (query_lengths.sum(), key_lengths.sum(), key_lengths.sum())
    ]
    slopes = torch.randn(len(rows[0]), 8)
    found = []
    for attention in (ragged_attention, padded_attention):
        out = attention(*rows, query_lengths, key_lengths, 2)
        found.append([out, *torch.autograd.grad(out, rows, slopes)])
    assert (found[0][0][3] == 0).all()  # the query of the event without keys
    for compiled, padded in zip(*found, strict=True):
        torch.testing.assert_close(compiled, padded, atol=2e-5 * scale, rtol=1e-4)


def dropped_weights(seed, lengths, heads, dropout):
    """Factors of the weights of attention among the particles of events, from uniform weights."""
    longest = int(lengths.max())
    total = int(lengths.sum())
    # Without scores all weights are 1 / n; the value of particle j is the unit vector j.
    nothing = torch.zeros(total, heads * longest)
    units = torch.cat([torch.eye(longest)[:n] for n in lengths.tolist()]).repeat(1, heads)
    torch.manual_seed(seed)
    out = ragged_attention(nothing, nothing, units, lengths, lengths, heads, dropout)
    n_keys = torch.repeat_interleave(lengths, lengths)
    return out.view(total, heads, longest).transpose(0, 1) * n_keys[:, None]


def test_dropped_weights_of_attention():
    lengths = torch.tensor([40, 1, 17, 60, 33] * 40)
    factors = dropped_weights(8, lengths, 2, 0.25)
    within = torch.arange(60) < torch.repeat_interleave(lengths, lengths)[:, None]
    assert (factors[:, ~within] == 0).all()
    kept = factors[:, within] > 0
    assert factors[:, within][kept].tolist() == pytest.approx([4 / 3] * int(kept.sum()), rel=1e-5)
    error = (0.25 * 0.75 / kept.numel()) ** 0.5
    assert 1 - kept.double().mean().item() == pytest.approx(0.25, abs=4 * error)
    # Neither heads, nor queries, nor keys, nor calls share their draw.
    longest = torch.repeat_interleave(lengths, lengths) == 60
    first, second = (
        (dropped_weights(seed, lengths, 2, 0.25)[:, longest] > 0).double() for seed in (8, 9)
    )
    for a, b in [
        (first[0], first[1]),
        (first[:, 1:], first[:, :-1]),
        (first[:, :, 1:], first[:, :, :-1]),
        (first, second),
    ]:
        correlation = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()
        assert abs(correlation) < 5 / a.numel() ** 0.5
    assert torch.equal(dropped_weights(8, lengths, 2, 0.25), factors)
    assert (dropped_weights(8, lengths, 2, 0.0)[:, within] > 0).all()


@pytest.mark.parametrize("width", [3, 4, 6])
def test_slopes_of_attention_with_dropped_weights(width):
    heads, lengths = 2, torch.tensor([5, 1, 23, 16])
    factors = dropped_weights(10, lengths, heads, 0.4)
    torch.manual_seed(11)
    rows = [torch.randn(int(lengths.sum()), heads * width).requires_grad_() for _ in range(3)]
    slopes = torch.randn_like(rows[0])
    torch.manual_seed(10)
    out = ragged_attention(*rows, lengths, lengths, heads, 0.4)
    found = [out, *torch.autograd.grad(out, rows, slopes)]
    expected = []
    for q, k, v, f in zip(
        *(r.split(lengths.tolist()) for r in rows),
        factors.split(lengths.tolist(), dim=1),
        strict=True,
    ):
        q, k, v = (x.view(len(x), heads, width).transpose(0, 1) for x in (q, k, v))
        weights = torch.softmax(q @ k.transpose(1, 2) / width**0.5, dim=-1) * f[:, :, : len(q[0])]
        expected.append((weights @ v).transpose(0, 1).flatten(1))
    plain = torch.cat(expected)
    plainly = [plain, *torch.autograd.grad(plain, rows, slopes)]
    for compiled, by_hand in zip(found, plainly, strict=True):
        torch.testing.assert_close(compiled, by_hand, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("attention", [ragged_attention, padded_attention])
def test_dropped_weights_keep_the_mean_of_attention(attention):
    torch.manual_seed(12)
    lengths = torch.tensor([6, 0, 3])
    rows = [torch.randn(9, 8) for _ in range(3)]
    whole = attention(*rows, lengths, lengths, 2)
    draws = torch.stack([attention(*rows, lengths, lengths, 2, 0.3) for _ in range(2000)])
    error = draws.std(dim=0) / 2000**0.5
    assert (error > 0).all()
    assert ((draws.mean(dim=0) - whole).abs() < 5 * error).all()


def test_kernels_from_the_cache_give_the_same_bits(tmp_path):
    script = (
        "import torch\n"
        "from cwolaflow.models.ragged_attention import ragged_attention\n"
        "torch.manual_seed(1)\n"
        "rows = [torch.randn(260, 16).requires_grad_() for _ in range(3)]\n"
        "lengths = torch.tensor([1, 59, 200])\n"
        "out = ragged_attention(*rows, lengths, lengths, 4, 0.1)\n"
        "slopes = torch.autograd.grad(out, rows, torch.randn_like(out))\n"
        "print([tensor.detach().view(torch.int32).long().sum().item() for tensor in (out, *slopes)])"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    compiled, loaded = (
        subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, check=True
        ).stdout
        for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbc"))
    assert loaded == compiled


def test_attention_makes_no_denormal_numbers():
    # Scores of the second key are far below those of the first: its weights are as small as any.
    rows = torch.ones(2, 4)
    keys = (torch.tensor([[300.0], [-300.0]]) * rows).requires_grad_()
    values = (torch.tensor([[1e-3], [2e-3]]) * rows).requires_grad_()
    lengths = torch.tensor([2])
    out = ragged_attention(rows, keys, values, lengths, lengths, 1)
    torch.testing.assert_close(out, 1e-3 * rows)
    (1e-3 * out.sum()).backward()
    for slopes in (keys.grad, values.grad):
        seen = slopes[slopes != 0].abs()
        assert seen.min() > torch.finfo(torch.float32).tiny
    torch.testing.assert_close(values.grad, torch.tensor([[2e-3], [0.0]]) * rows)


def test_attention_stays_within_an_event():
    torch.manual_seed(6)
    rows, lengths = torch.randn(9, 8), torch.tensor([4, 5])
    first = ragged_attention(rows, rows, rows, lengths, lengths, 2)
    changed = torch.cat([rows[:4], torch.randn(5, 8)])
    second = ragged_attention(changed, changed, changed, lengths, lengths, 2)
    assert torch.equal(first[:4], second[:4])


def test_chunks_cover_all_events_with_even_work():
    work = torch.arange(1, 1001).numpy()
    chunks = _chunks(work, 8)
    assert [event for a, b in chunks for event in range(a, b)] == list(range(1000))
    sums = [work[a:b].sum() for a, b in chunks]
    assert max(sums) < 1.05 * work.sum() / 8
    assert _chunks(work[:0], 8) == []
    assert _chunks(work[:1], 8) == [(0, 1)]


def test_dropout_keeps_mean_and_share():
    torch.manual_seed(7)
    dropout = Dropout(0.25)
    values = torch.ones(1001, 999)
    dropped = dropout(values)
    share = (dropped == 0).double().mean().item()
    error = (0.25 * 0.75 / values.numel()) ** 0.5
    assert share == pytest.approx(0.25, abs=4 * error)
    assert dropped.mean().item() == pytest.approx(1, abs=6 * error)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3], rel=1e-6)
    again = dropout(values)
    for first, second in [
        (dropped[:, 1:], dropped[:, :-1]),
        (dropped[1:], dropped[:-1]),
        (dropped, again),
    ]:
        both = ((first == 0) & (second == 0)).double().mean().item()
        assert both == pytest.approx(0.0625, abs=1e-3)
    torch.manual_seed(7)
    assert torch.equal(dropout(values), dropped)
    assert torch.equal(dropout.eval()(values), values)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_slopes_of_dropout_are_those_of_what_is_kept(kind):
    torch.manual_seed(9)
    # Neither values nor slopes lie in memory one after the other.
    values = torch.randn(7, 300).to(kind).t().requires_grad_()
    slopes = torch.randn(7, 300).to(kind).t()
    out = Dropout(0.4)(values)
    (found,) = torch.autograd.grad(out, values, slopes)
    kept = (out != 0) | (values == 0)
    assert 0.3 < 1 - kept.double().mean().item() < 0.5
    for given, dropped in ((values, out), (slopes, found)):
        assert dropped.dtype == kind
        expected = torch.where(kept, given.float() / 0.6, 0).to(kind)
        torch.testing.assert_close(dropped, expected)
