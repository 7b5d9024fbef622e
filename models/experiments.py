"""Every experiment: one row a published result or a preset of ours. `models list` prints them.

Where paper and released code differ, both are rows: `sf2f-64` follows the code, `sf2f-64-paper` the text.
"""

from dataclasses import replace

import torch

from manifests.errors import UsageError
from models import sf2f, speaker, voice2face
from models.config import Experiment
from models.system import load

_CODE = sf2f.Settings()
_PAPER = replace(
    _CODE,
    encoder="inception5",
    decoder="bilinear",
    fuser_joins="embedding",
    image_discriminator="pooled",
    identity_discriminator="classifier",
    betas=(0.9, 0.98),
    iterations=120_000,
    settling=0,
    fuser_iterations=360,
    fuser_rate=5e-4,
    windows=38,  # 25 s in windows of 1.25 s that overlap by half
    stride=63,
)
_BASELINE = replace(  # voice2face as the SF2F authors' configuration has it, but noise in training only
    _CODE,
    encoder="cnn",
    decoder="deconv",
    embedding_noise=0.05,
    image_discriminator="none",
    identity_discriminator="baseline",
    l1=100.0,
    identity=1.0,
    perceptual=0.0,
    fuser_iterations=0,
)
_WIDE = (*_CODE.decoder_channels, 16)  # up to 128 x 128
_MULTI = replace(_CODE, sides=(64, 128), decoder_channels=_WIDE, l1=100.0)
_NO_IDENTITY = replace(_CODE, identity_discriminator="none")

# Presets that learn on a CPU in minutes, for the synthetic world and for small data. Without an identity
# discriminator: over hundreds of people it learns nothing in so few iterations. The alignment teaches the encoder what
# voices tell of faces long before the decoder can draw any; more iterations than these learn the people by heart.
_SMALL = replace(
    _CODE,
    encoder_channels=(48, 64, 96, 128),
    embedding=128,
    decoder_channels=(128, 64, 32, 16, 8),
    discriminator_width=16,
    identity_discriminator="none",
    l1=40.0,
    perceptual=0.3,
    contrast=10.0,
    alignment=20.0,
    judge="dlib",
    batch=32,
    rate=1e-3,
    iterations=600,
    settling=250,
    frames=(100, 300),
    fuser_iterations=200,
    fuser_rate=2e-3,
    windows=8,
)
_SMALL_V2F = replace(
    voice2face.Settings(),
    encoder_channels=(48, 64, 96, 128),
    generator_channels=(256, 128, 64, 32, 16),
    discriminator_width=16,
    batch=32,
    rate=5e-4,
    iterations=3000,
    frames=(200, 400),
)
_SMALL_SPEAKER = replace(speaker.Settings(), encoder_channels=(48, 64, 96, 128), batch=32, iterations=1500)


def _sf2f(name: str, source: str, reproduces: str, settings: sf2f.Settings) -> Experiment:
    return Experiment(name, "sf2f", settings, source, reproduces)


_YAML, _TEXT, _OURS = "SF2F, released configuration", "SF2F, the paper's text", "ours"

EXPERIMENTS: tuple[Experiment, ...] = (
    _sf2f("sf2f-64", _YAML, "Table 3: SF2F, and after stage 1 SF2F without fuser", _CODE),
    _sf2f("sf2f-64-paper", _TEXT, "Table 3, where text and code differ", _PAPER),
    _sf2f("sf2f-128", _TEXT, "Table 5: single, 128", replace(_CODE, sides=(128,), decoder_channels=_WIDE)),
    _sf2f("sf2f-128-multi", _YAML, "Table 5: multi, 128", _MULTI),
    _sf2f("sf2f-64-no-l1", _TEXT, "Table 7: without image reconstruction", replace(_CODE, l1=0.0)),
    _sf2f("sf2f-64-no-gan", _TEXT, "Table 7: without adversarial", replace(_CODE, image_discriminator="none")),
    _sf2f("sf2f-64-no-identity", _TEXT, "Table 7: without auxiliary classifier", _NO_IDENTITY),
    _sf2f("sf2f-64-no-perceptual", _TEXT, "Table 7: without perceptual", replace(_CODE, perceptual=0.0)),
    _sf2f("sf2f-64-baseline-encoder", _TEXT, "Table 7: baseline encoder", replace(_CODE, encoder="cnn")),
    _sf2f("sf2f-64-baseline-decoder", _TEXT, "Table 7: baseline decoder", replace(_CODE, decoder="deconv")),
    _sf2f("sf2f-64-0.5-1s", _TEXT, "Table 4: 0.5-1 s", replace(_CODE, frames=(50, 100))),
    _sf2f("sf2f-64-1-1.5s", _TEXT, "Table 4: 1-1.5 s", replace(_CODE, frames=(100, 150))),
    _sf2f("sf2f-64-1.5-3s", _TEXT, "Table 4: 1.5-3 s", replace(_CODE, frames=(150, 300))),
    _sf2f("sf2f-64-3-6s", _TEXT, "Table 4: 3-6 s", replace(_CODE, frames=(300, 600))),
    _sf2f("sf2f-64-6-10s", _TEXT, "Table 4: 6-10 s", replace(_CODE, frames=(600, 1000))),
    _sf2f("voice2face-sf2f", _YAML, "Table 3: voice2face", _BASELINE),
    Experiment(
        "voice2face", "voice2face", voice2face.Settings(), "voice2face, released code", "voice2face, Table 3: matching"
    ),
    Experiment(
        "voice2face-paper", "voice2face", replace(voice2face.Settings(), iterations=100_000),
        "voice2face, the paper's text", "voice2face, Table 3: matching"
    ),
    Experiment("speaker", "speaker", speaker.Settings(), _OURS, "the encoder that voice2face freezes"),
    _sf2f("sf2f-small", _OURS, "SF2F in minutes on a CPU", _SMALL),
    Experiment("voice2face-small", "voice2face", _SMALL_V2F, _OURS, "voice2face in minutes on a CPU"),
    Experiment("speaker-small", "speaker", _SMALL_SPEAKER, _OURS, "the encoder that voice2face-small freezes"),
)  # fmt: skip


def find(name: str) -> Experiment:
    """An experiment by name. Raises UsageError listing the valid ones."""
    for experiment in EXPERIMENTS:
        if experiment.name == name:
            return experiment
    raise UsageError(f"no experiment {name}: expected one of {', '.join(e.name for e in EXPERIMENTS)}")


def parameters(experiment: Experiment, n_identities: int = 2890) -> dict[str, int]:
    """Parameters of each network, without allocating any; 2,890 identities are HQ-VoxCeleb's training split."""
    with torch.device("meta"):
        networks = load(experiment.system).build(experiment.settings, n_identities)
    return {name: sum(weight.numel() for weight in network.parameters()) for name, network in networks.items()}
