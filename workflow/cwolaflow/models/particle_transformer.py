"""Light particle transformer on sets of particles."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cwolaflow.models.dropout import Dropout
from cwolaflow.models.initial_weights import initialise
from cwolaflow.models.ragged_attention import ragged_attention, starts_of


class _Attention(nn.Module):
    """Multi-head attention without biases and with a learned scale per head."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.query, self.key, self.value, self.out = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.head_scale = nn.Parameter(torch.ones(heads))

    def _finish(self, queries: Tensor, keys: Tensor, values: Tensor, *lengths: Tensor) -> Tensor:
        heads = len(self.head_scale)
        dropout = self.dropout if self.training else 0.0
        attended = ragged_attention(queries, keys, values, *lengths, heads, dropout)
        # Scaling the few weights is scaling the many heads.
        width = len(self.out.weight) // heads
        scaled = self.out.weight * self.head_scale.repeat_interleave(width)
        return functional.linear(attended, scaled)

    def among(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Let all tokens of an event attend to one another."""
        weights = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        made = functional.linear(tokens, weights).chunk(3, dim=1)
        return self._finish(*made, lengths, lengths)

    def of_class_tokens(self, class_tokens: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Let one class token an event attend to all tokens of the event."""
        weights = torch.cat([self.key.weight, self.value.weight])
        made = functional.linear(tokens, weights).chunk(2, dim=1)
        return self._finish(self.query(class_tokens), *made, torch.ones_like(lengths), lengths)


class _Block(nn.Module):
    """Attention and feed-forward, each between layer norms, with a learned residual scale."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.norm_before_attention = nn.LayerNorm(width)
        self.attention = _Attention(width, heads, dropout)
        self.norm_after_attention = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, feed_forward),
            nn.GELU(),
            Dropout(dropout),
            nn.LayerNorm(feed_forward),
            nn.Linear(feed_forward, width),
            Dropout(dropout),
        )
        self.residual_scale = nn.Parameter(torch.ones(width))

    def _transform(self, attended: Tensor, residual: Tensor) -> Tensor:
        hidden = residual + self.dropout(self.norm_after_attention(attended))
        return self.feed_forward(hidden) + self.residual_scale * hidden


class ParticleBlock(_Block):
    """Lets the particles of an event attend to one another."""

    def forward(self, particles: Tensor, lengths: Tensor) -> Tensor:
        """Map the particles of all events (n_particles, width), ``lengths`` an event, to new."""
        normalised = self.norm_before_attention(particles)
        return self._transform(self.attention.among(normalised, lengths), particles)


class ClassBlock(_Block):
    """Lets the class token attend to itself and to the particles."""

    def forward(self, tokens: Tensor, particles: Tensor, lengths: Tensor) -> Tensor:
        """Map the class tokens (n_events, width), given the particles, to new ones."""
        # The token of an event goes before its particles.
        event = torch.repeat_interleave(lengths)
        n = len(tokens)
        place = torch.empty(n + len(particles), dtype=torch.int64, device=tokens.device)
        place[starts_of(lengths)[:-1] + torch.arange(n, device=tokens.device)] = torch.arange(
            n, device=tokens.device
        )
        rows = torch.arange(len(particles), device=tokens.device)
        place[rows + event + 1] = rows + n
        everything = torch.cat([tokens, particles]).index_select(0, place)
        everything = self.norm_before_attention(everything)
        attended = self.attention.of_class_tokens(tokens, everything, lengths + 1)
        return self._transform(attended, tokens)


class ParticleTransformer(nn.Module):
    """Particle transformer without pair features (light ParT of arXiv:2511.18726).

    Invariant under permutations of the particles and under padding, which it drops at once: its
    time follows the true number of particles. Dropout acts on the weights of attention, on its
    results and in the feed-forward layers. There is none in the class blocks.

    Parameters
    ----------
    n_features : int
        Features of a particle.
    embedding : sequence of int
        Widths of the embedding's layers; the last is the width of the model.
    heads, feed_forward : int
        Attention heads and hidden width of the blocks.
    particle_blocks, class_blocks : int
        Numbers of blocks.
    dropout : float
        In particle blocks and head.
    initial_weights : str
        See `initialise`; the class token starts as it does.
    """

    def __init__(
        self,
        n_features: int,
        embedding: Sequence[int],
        heads: int,
        feed_forward: int,
        particle_blocks: int,
        class_blocks: int,
        dropout: float = 0.0,
        initial_weights: str = "torch",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in embedding:
            layers += [nn.LayerNorm(n_features), nn.Linear(n_features, width), nn.GELU()]
            n_features = width
        self.embedding = nn.Sequential(*layers)
        width = embedding[-1]
        self.particle_blocks = nn.ModuleList(
            ParticleBlock(width, heads, feed_forward, dropout) for _ in range(particle_blocks)
        )
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.class_token)
        self.class_blocks = nn.ModuleList(
            ClassBlock(width, heads, feed_forward, 0.0) for _ in range(class_blocks)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(width, 1),
        )
        initialise(self, initial_weights)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map particles to the logit of signal.

        Parameters
        ----------
        features : tensor, shape (n, m, n_features)
        mask : bool tensor, shape (n, m)
            True for a particle, False for padding.

        Returns
        -------
        tensor, shape (n, 1)
        """
        lengths = mask.sum(dim=1)
        particles = self.embedding(features[mask])
        for block in self.particle_blocks:
            particles = block(particles, lengths)
        tokens = self.class_token[0].expand(len(features), -1)
        for block in self.class_blocks:
            tokens = block(tokens, particles, lengths)
        return self.head(tokens)
