"""The networks of arXiv:2511.18726 written down plainly, as peers of those of the package.

Their parameters have the names of the package's, so that both can carry the same weights.
"""

import math

import torch
from torch import nn


def _attention(width, heads):
    layers = {
        name: nn.Linear(width, width, bias=False) for name in ("query", "key", "value", "out")
    }
    module = nn.ModuleDict(layers)
    module.head_scale = nn.Parameter(torch.ones(heads))
    return module


class PlainBlock(nn.Module):
    """A block on padded particles (n, m, width) with a table of scores (n, heads, m, m)."""

    def __init__(self, width, heads, feed_forward, dropout):
        super().__init__()
        self.heads = heads
        self.norm_before_attention = nn.LayerNorm(width)
        self.attention = _attention(width, heads)
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

    def _split(self, tokens):
        n, m, width = tokens.shape
        return tokens.reshape(n, m, self.heads, width // self.heads).transpose(1, 2)

    def _transform(self, query, residual, tokens, mask):
        q = self._split(self.attention["query"](query))
        k = self._split(self.attention["key"](tokens))
        v = self._split(self.attention["value"](tokens))
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(~mask[:, None, None, :], -math.inf)
        attended = self.dropout(torch.softmax(scores, dim=-1)) @ v
        attended = attended * self.attention.head_scale[:, None, None]
        attended = attended.transpose(1, 2).flatten(2)
        attended = self.norm_after_attention(self.attention["out"](attended))
        hidden = residual + self.dropout(attended)
        return self.feed_forward(hidden) + self.residual_scale * hidden


class PlainParticleTransformer(nn.Module):
    """The light particle transformer on padded sets; every event must have a particle."""

    def __init__(
        self, n_features, embedding, heads, feed_forward, particle_blocks, class_blocks, dropout
    ):
        super().__init__()
        layers = []
        for width in embedding:
            layers += [nn.LayerNorm(n_features), nn.Linear(n_features, width), nn.GELU()]
            n_features = width
        self.embedding = nn.Sequential(*layers)
        self.particle_blocks = nn.ModuleList(
            PlainBlock(width, heads, feed_forward, dropout) for _ in range(particle_blocks)
        )
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.class_token)
        self.class_blocks = nn.ModuleList(
            PlainBlock(width, heads, feed_forward, 0.0) for _ in range(class_blocks)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )

    def forward(self, features, mask):
        """Map (n, m, n_features) and mask (n, m) to logits (n, 1)."""
        particles = self.embedding(features)
        for block in self.particle_blocks:
            normalised = block.norm_before_attention(particles)
            particles = block._transform(normalised, particles, normalised, mask)
        token = self.class_token.expand(len(features), -1, -1)
        with_token = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        for block in self.class_blocks:
            tokens = block.norm_before_attention(torch.cat([token, particles], dim=1))
            token = block._transform(token, token, tokens, with_token)
        return self.head(token[:, 0])


class PlainResidual(nn.Module):
    """Two convolutions whose result is added to what went in."""

    def __init__(self, width):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(width, width, 3, padding="same"),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding="same"),
            nn.ReLU(),
        )

    def forward(self, images):
        """Keep the shape."""
        return images + self.convolutions(images)


class PlainEventCNN(nn.Module):
    """The event-CNN in torch's default layout and float32."""

    def __init__(self, channels):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(3),
            PlainResidual(64),
            PlainResidual(64),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Linear(64, 256),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, 1),
        )

    def forward(self, images):
        """Map (n, channels, rows, columns) to logits (n, 1)."""
        return self.head(self.convolutions(images).mean(dim=(2, 3)))
