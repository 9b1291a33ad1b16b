"""Two models in shapes that everybody knows, with random weights: what is measured is time, not answers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bert", "pictures", "resnet", "sentences"]


def resnet(torch: Any, blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64) -> Any:
    """Return ResNet-50 (He et al. 2016, with the stride in the 3x3), 25.6 million weights."""
    nn = torch.nn

    class Bottleneck(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, into: int, inner: int, stride: int) -> None:
            super().__init__()
            out = 4 * inner
            self.body = nn.Sequential(
                nn.Conv2d(into, inner, 1, bias=False),
                nn.BatchNorm2d(inner),
                nn.ReLU(),
                nn.Conv2d(inner, inner, 3, stride, 1, bias=False),
                nn.BatchNorm2d(inner),
                nn.ReLU(),
                nn.Conv2d(inner, out, 1, bias=False),
                nn.BatchNorm2d(out),
            )
            straight = into == out and stride == 1
            self.short = (
                nn.Identity()
                if straight
                else nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            )

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.body(x) + self.short(x))

    layers: list[Any] = [
        nn.Conv2d(3, width, 7, 2, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    into = width
    for stage, count in enumerate(blocks):
        for index in range(count):
            inner = width << stage
            layers.append(Bottleneck(into, inner, 2 if stage and not index else 1))
            into = 4 * inner
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(into, 1000)]
    return nn.Sequential(*layers).eval()


def bert(torch: Any, layers: int = 12, width: int = 768, heads: int = 12, words: int = 30522) -> Any:
    """Return BERT-base's encoder (Devlin et al. 2019) on 128 tokens, 109 million weights, two classes."""
    nn = torch.nn

    class Encoder(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(512, width)
            self.norm = nn.LayerNorm(width)
            layer = nn.TransformerEncoderLayer(
                width, heads, 4 * width, activation="gelu", batch_first=True, dropout=0.0
            )
            self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
            self.head = nn.Linear(width, 2)
            self.register_buffer("order", torch.arange(512), persistent=False)

        def forward(self, ids: Any) -> Any:
            x = self.norm(self.words(ids) + self.places(self.order[: ids.shape[1]]))
            return self.head(self.layers(x)[:, 0])

    return Encoder().eval()


def pictures(rows: int, side: int = 224) -> dict[str, NDArray[Any]]:
    """Return random pictures, float32."""
    given = np.random.default_rng(1).random((rows, 3, side, side), np.float32)
    return {"features": given}


def sentences(rows: int, length: int = 128, words: int = 30522) -> dict[str, NDArray[Any]]:
    """Return random token ids, int64."""
    return {"features": np.random.default_rng(1).integers(0, words, (rows, length))}
