"""Light particle transformer on sets of particles."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Attention(nn.Module):
    """Multi-head attention without biases and with a learned scale per head."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.head_scale = nn.Parameter(torch.ones(heads))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (len(self.head_scale), -1)).transpose(1, 2)

    def forward(self, query: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        heads = functional.scaled_dot_product_attention(
            self._split(self.query(query)),
            self._split(self.key(tokens)),
            self._split(self.value(tokens)),
            attn_mask=mask[:, None, None, :],
        )
        scaled = heads * self.head_scale[:, None, None]
        return self.out(scaled.transpose(1, 2).flatten(2))


class _Block(nn.Module):
    """Attention and feed-forward, each between layer norms, with a learned residual scale."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.norm_before_attention = nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.norm_after_attention = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, feed_forward),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.LayerNorm(feed_forward),
            nn.Linear(feed_forward, width),
            nn.Dropout(dropout),
        )
        self.residual_scale = nn.Parameter(torch.ones(width))

    def _transform(self, query: Tensor, residual: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        attended = self.norm_after_attention(self.attention(query, tokens, mask))
        hidden = residual + self.dropout(attended)
        return self.feed_forward(hidden) + self.residual_scale * hidden


class ParticleBlock(_Block):
    """Lets the particles of an event attend to one another."""

    def forward(self, particles: Tensor, mask: Tensor) -> Tensor:
        """Map particles (n, m, width) with mask (n, m), True where valid, to the same shape."""
        normalised = self.norm_before_attention(particles)
        return self._transform(normalised, particles, normalised, mask)


class ClassBlock(_Block):
    """Lets the class token attend to itself and to the particles."""

    def forward(self, token: Tensor, particles: Tensor, mask: Tensor) -> Tensor:
        """Map the token (n, 1, width), given particles and mask, to a new token."""
        tokens = self.norm_before_attention(torch.cat([token, particles], dim=1))
        mask = functional.pad(mask, (1, 0), value=True)
        return self._transform(token, token, tokens, mask)


class ParticleTransformer(nn.Module):
    """Particle transformer without pair features (light ParT of arXiv:2511.18726).

    Invariant under permutations of the particles and under padding. Dropout acts on the results
    of attention, not on its weights, so that the fused kernels serve in training too. There is
    none in the class blocks.

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
        nn.init.trunc_normal_(self.class_token, std=0.02)
        self.class_blocks = nn.ModuleList(
            ClassBlock(width, heads, feed_forward, 0.0) for _ in range(class_blocks)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )

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
        particles = self.embedding(features)
        # A softmax over no particle at all would be NaN; the class blocks ignore the result.
        attendable = mask | ~mask.any(dim=1, keepdim=True)
        for block in self.particle_blocks:
            particles = block(particles, attendable)
        token = self.class_token.expand(len(features), -1, -1)
        for block in self.class_blocks:
            token = block(token, particles, mask)
        return self.head(token.squeeze(1))
