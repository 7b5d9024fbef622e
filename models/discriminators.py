"""Discriminators and identity classifiers: a picture (B, 3, S, S) in the system's own colour space in, logits out."""

from itertools import pairwise

from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """SF2F's image discriminator as its code has it: real or generated, for each of 6 x 6 patches.

    `side` is 64 or 128 pixels, `width` the channels of the first convolution.
    """

    def __init__(self, side: int, width: int = 64) -> None:
        super().__init__()
        trunk, channels = _patch_trunk(side, width)
        # No activation before the last convolution: two linear layers in a row, as the code has it.
        self.layers = nn.Sequential(*trunk, nn.Conv2d(channels, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, 6, 6), positive for real."""
        logits: Tensor = self.layers(image)
        return logits


class IdentityDiscriminator(nn.Module):
    """SF2F's auxiliary classifier as its code has it: real or generated, and whose face.

    `baseline` takes the trunk of the authors' voice2face, whose only discriminator this is. `width` is the channels of
    the image discriminator's first convolution, `hidden` those before the two heads.
    """

    def __init__(
        self, side: int, n_identities: int, width: int = 64, hidden: int = 1024, baseline: bool = False
    ) -> None:
        super().__init__()
        trunk, channels = _baseline_trunk(width // 2) if baseline else _patch_trunk(side, width)
        self.trunk = nn.Sequential(*trunk)
        self.hidden = nn.Linear(channels, hidden)
        self.real = nn.Linear(hidden, 1)
        self.identity = nn.Linear(hidden, n_identities)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B,), positive for real, and identity logits (B, n_identities)."""
        x = self.trunk(image)  # (B, 256, 6, 6); 512 channels at 128 pixels; (B, 512, 5, 5) for the baseline
        x = self.hidden(x.mean(dim=(2, 3)))  # (B, 1024), and no activation
        return self.real(x).squeeze(1), self.identity(x)


class PooledDiscriminator(nn.Module):
    """SF2F's image discriminator as its text has it (Table 11): real or generated, for the picture as a whole.

    `width` is the channels of the first convolution, `hidden` those before the last layer.
    """

    def __init__(self, width: int = 64, hidden: int = 1024) -> None:
        super().__init__()
        self.layers = _pooled_classifier(width, hidden, classes=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1), positive for real."""
        logits: Tensor = self.layers(image)
        return logits


class IdentityClassifier(nn.Module):
    """SF2F's auxiliary classifier as its text has it (Table 11): whose face; nothing of real or generated.

    `width` is the channels of the first convolution, `hidden` those before the last layer.
    """

    def __init__(self, n_identities: int, width: int = 64, hidden: int = 1024) -> None:
        super().__init__()
        self.layers = _pooled_classifier(width, hidden, classes=n_identities)

    def forward(self, image: Tensor) -> tuple[None, Tensor]:
        """No logits of real or generated, where `IdentityDiscriminator` has them; identity logits (B, n_identities)."""
        return None, self.layers(image)


class SharedDiscriminator(nn.Module):
    """The original voice2face's discriminator and classifier: two linear heads, without bias, on one face trunk.

    For pictures of 64 pixels. `width` is the channels of the first convolution, `embedding` those of the trunk's end.
    """

    def __init__(self, n_identities: int, width: int = 32, embedding: int = 64) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_strided(width, doublings=4),  # (B, 512, 4, 4)
            nn.Conv2d(16 * width, embedding, 4),  # (B, 64, 1, 1)
            nn.Flatten(),  # (B, 64)
        )
        self.real = nn.Linear(embedding, 1, bias=False)
        self.identity = nn.Linear(embedding, n_identities, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B,), positive for real, and identity logits (B, n_identities)."""
        x = self.trunk(image)  # (B, 64)
        return self.real(x).squeeze(1), self.identity(x)


def _patch_trunk(side: int, width: int) -> tuple[list[nn.Module], int]:
    """Convolutions down to 6 x 6 (3 from 64 pixels, 4 from 128), and their last channels. No activation at the end."""
    if side not in (64, 128):
        raise ValueError(f"a discriminator for {side} pixels: expected 64 or 128")
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2)]  # 31 x 31, or 63 x 63
    channels = width
    for _ in range(2 if side == 64 else 3):  # 14, 6; or 30, 14, 6
        layers += [
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, 2 * channels, 4, stride=2),
        ]
        channels *= 2
    return layers, channels


def _pooled_classifier(width: int, hidden: int, classes: int) -> nn.Sequential:
    """Three convolutions, the mean over the picture, two linear layers: (B, 3, S, S) to (B, classes)."""
    convolutions: list[nn.Module] = []  # 31 x 31, 14 x 14, 6 x 6 from 64 pixels
    for inputs, outputs in pairwise((3, width, 2 * width, 4 * width)):
        convolutions += [nn.Conv2d(inputs, outputs, 4, stride=2), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(
        *convolutions,
        nn.AdaptiveAvgPool2d(1),  # (B, 256, 1, 1)
        nn.Flatten(),
        nn.Linear(4 * width, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


def _baseline_trunk(width: int) -> tuple[list[nn.Module], int]:
    """The convolutions of the SF2F authors' voice2face, 64 pixels to 5 x 5, and their last channels."""
    return [*_strided(width, doublings=3), nn.Conv2d(8 * width, 16 * width, 4)], 16 * width


def _strided(width: int, doublings: int) -> list[nn.Module]:
    """voice2face's 1 x 1 convolution and those that halve the side and double the channels, LeakyReLU after each."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 1), nn.LeakyReLU(0.2)]
    for doubling in range(doublings):
        channels = width * 2**doubling
        layers += [nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return layers
