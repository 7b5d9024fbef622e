"""Every experiment: one row a published result or a preset of ours. `models list` prints them.

Where paper and released code differ, both are rows: `sf2f-64` follows the code, `sf2f-64-paper` the text.
"""

from dataclasses import replace
from typing import Any

import torch

from manifests.errors import UsageError
from models import ar_spm, dimnet, dimnet_frozen, i2g, sf2f, speaker, speech2face, svhf, voice2face, wav2pix
from models.backbones import ResidualTrunk
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
# SF2F+ (ours): voices, and the faces made of them, are told apart among those of the batch in the judge's space. The
# weights have the small preset's share of the L1's; nobody has tuned them at this size.
_PLUS = replace(_CODE, contrast=2.5, alignment=5.0)
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

_SMALL_SVHF = replace(
    svhf.Settings(),
    channels=(12, 32),
    hidden=512,
    embedding=256,
    head=(128, 64),
    side=64,
    batch=32,
    voice_iterations=600,
    face_iterations=800,
    iterations=400,
    optimiser="adam",  # the paper's SGD needs many more iterations
    rate=1e-3,
    last_rate=1e-4,
    weight_decay=0.0,
)
_SMALL_DIMNET = replace(
    dimnet.Settings(),
    covariates=("identity", "gender"),
    voice_channels=(48, 64, 96, 128),
    face_channels=(16, 32, 64, 128),
    side=64,
    batch=32,
    rate=0.05,
    iterations=(2000, 600, 200),
    frames=(200, 300),
)
_SMALL_FROZEN = replace(
    dimnet_frozen.Settings(),
    covariates=_SMALL_DIMNET.covariates,
    encoder_channels=_SMALL_DIMNET.voice_channels,
    face_channels=_SMALL_DIMNET.face_channels,
    voice_features=64,
    face_features=128,
    width=128,
    embedding=64,
    side=64,
    batch=64,
    encoder_batch=32,
    voice_iterations=1500,
    face_iterations=600,
    iterations=800,
    frames=(200, 300),
)

# For `--set features=FILE` of our own network: its features are longer than VGG-Face's, so `models balance` proposes
# other weights.
_SMALL_SPEECH2FACE = replace(
    speech2face.Settings(),
    encoder_channels=(4, 4, 8, 8, 8, 16, 32, 32, 32),
    hidden=256,
    decoder="plain",
    decoder_channels=(64, 32, 16, 16, 16),
    pixels=64,
    likeness=10.0,  # with more, patterns that only the face network sees
    decoder_iterations=2000,
    direction=300.0,
    distillation=25_000.0,
    rate=2e-3,
    iterations=4000,
    decay_every=100,
    frames=(262, 262),  # hardly more than the encoder's least, 261
)
_SMALL_AR_SPM = replace(
    ar_spm.Settings(),
    encoder_channels=(16, 32, 64, 64, 64),
    decoder_channels=(64, 64, 64, 32, 16, 16),
    gender_channels=(8, 16, 32, 32, 32),
    pixels=64,
    first_layer=0.0016,
    classes=0.3,
    rate=3e-4,
    epsilon=1e-8,  # the paper's damps gradients as small as these
    decoder_iterations=2000,
    gender_iterations=200,
    iterations=1500,
    decay_every=200,
    frames=(300, 300),
)

_SMALL_I2G = replace(
    i2g.Settings(),
    speech_channels=(12, 12, 24, 24, 32, 32, 64, 64),
    speech_kernel=127,
    bottleneck=48,
    face_channels=(12, 24, 48, 96),
    embedding=64,
    noise=32,
    generator_channels=(96, 96, 48, 24, 12),
    frames=(60, 60),
    matching_optimiser="adam",  # the paper's SGD needs many more iterations
    matching_decay=0.3,
    weight_decay=0.0,
    matching_iterations=600,
    batch=12,
    rate=1e-3,
    discriminator_rate=2.5e-4,
    iterations=3600,
)
_SMALL_WAV2PIX = replace(
    wav2pix.Settings(),
    encoder_channels=(8, 16, 32, 48, 64, 96),
    generator_channels=(128, 64, 32, 16),
    discriminator_channels=(16, 32, 64, 128),
    discriminator_hears="direction",  # else its loss grows beyond a constant answer's, and faces follow no voice
    dropout=0.2,
    batch=32,
    rate=1e-3,
    discriminator_rate=1e-4,
    iterations=2400,
)


def _sf2f(name: str, source: str, reproduces: str, settings: sf2f.Settings) -> Experiment:
    return Experiment(name, "sf2f", settings, source, reproduces)


def _dimnet(name: str, *covariates: dimnet.Covariate) -> Experiment:
    settings = dimnet.Settings(covariates=covariates)
    return Experiment(name, "dimnet", settings, "DIMNet", f"DIMNet-{name.partition('-')[2].upper()}: matching")


def _speech2face(name: str, reproduces: str, settings: speech2face.Settings) -> Experiment:
    return Experiment(name, "speech2face", settings, "Speech2Face", reproduces)


def _ar_spm(name: str, reproduces: str, **changed: Any) -> Experiment:
    return Experiment(name, "ar_spm", replace(ar_spm.Settings(), **changed), "AR-SPM", reproduces)


_VARIANTS = ("neutral+fc", "neutral", "gender+fc", "gender", "male", "female", "none")
_I2G = "I2G, the paper's text"
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
    _sf2f("sf2f-plus", _OURS, "SF2F with contrastive alignment of voices and faces to the identity space", _PLUS),
    _sf2f("sf2f-small", _OURS, "SF2F in minutes on a CPU", _SMALL),
    Experiment("voice2face-small", "voice2face", _SMALL_V2F, _OURS, "voice2face in minutes on a CPU"),
    Experiment("speaker-small", "speaker", _SMALL_SPEAKER, _OURS, "the encoder that voice2face-small freezes"),
    Experiment("svhf", "svhf", svhf.Settings(), "SVHF-Net, static", "matching, a voice asks two faces"),
    Experiment(
        "svhf-fv", "svhf", svhf.Settings(way="F-V"), "SVHF-Net, static", "matching, a face asks two voices"
    ),
    Experiment(
        "svhf-10", "svhf", svhf.Settings(candidates=10), "SVHF-Net, static", "matching, a voice asks ten faces"
    ),
    Experiment("svhf-small", "svhf", _SMALL_SVHF, _OURS, "SVHF-Net in minutes on a CPU"),
    _dimnet("dimnet-i", "identity"),
    _dimnet("dimnet-g", "gender"),
    _dimnet("dimnet-n", "nationality"),
    _dimnet("dimnet-ig", "identity", "gender"),
    _dimnet("dimnet-in", "identity", "nationality"),
    _dimnet("dimnet-gn", "gender", "nationality"),
    _dimnet("dimnet-ign", "identity", "gender", "nationality"),
    Experiment(
        "dimnet-frozen", "dimnet_frozen", dimnet_frozen.Settings(), "vfal-eva", "DIMNet on frozen features"
    ),
    Experiment("dimnet-frozen-small", "dimnet_frozen", _SMALL_FROZEN, _OURS, "DIMNet on frozen features in minutes"),
    Experiment("dimnet-small", "dimnet", _SMALL_DIMNET, _OURS, "DIMNet-IG in minutes on a CPU"),
    _speech2face("speech2face", "Table 2, 6 s", speech2face.Settings()),
    _speech2face("speech2face-3s", "Table 2, 3 s", speech2face.Settings(frames=(300, 300))),
    _speech2face("speech2face-plain", "the decoder without landmarks (ours)", speech2face.Settings(decoder="plain")),
    _speech2face("speech2face-feature-l1", "ablation: L1 of features", speech2face.Settings(loss="feature")),
    _speech2face("speech2face-pixel-l1", "ablation: L1 of pixels", speech2face.Settings(loss="pixel")),
    Experiment("speech2face-small", "speech2face", _SMALL_SPEECH2FACE, _OURS, "Speech2Face in minutes on a CPU"),
    *(_ar_spm(f"ar-spm-{variant.replace('+', '-')}", f"Table 4: {variant}", variant=variant) for variant in _VARIANTS),
    _ar_spm("ar-spm-se", "squeeze-and-excitation", attention="se"),
    _ar_spm("ar-spm-no-attention", "no attention", attention="none"),
    _ar_spm("ar-spm-parallel", "channel and spatial gate side by side", attention="parallel"),
    _ar_spm("ar-spm-resnet", "ResNet-18 as encoder", backbone="resnet", encoder_channels=ResidualTrunk.CHANNELS),
    _ar_spm("ar-spm-densenet", "DenseNet-121 as encoder", backbone="densenet", encoder_channels=(64,)),
    _ar_spm("ar-spm-distillation", "distillation as the third term", third="distillation"),
    Experiment("ar-spm-small", "ar_spm", _SMALL_AR_SPM, _OURS, "AR-SPM in minutes on a CPU"),
    Experiment("i2g", "i2g", i2g.Settings(), _I2G, "I2G, Tables 1 to 3: trained V-F, 10-way"),
    Experiment(
        "i2g-fv", "i2g", replace(i2g.Settings(), way="F-V", matching_batch=12), _I2G,
        "I2G, Table 1: trained F-V, 10-way"
    ),
    Experiment(
        "i2g-no-mil", "i2g", replace(i2g.Settings(), mil=False), _I2G,
        "I2G, Table 3: without the mismatched-identity term"
    ),
    Experiment("i2g-no-stage-a", "i2g", replace(i2g.Settings(), stage_a=False), _I2G, "I2G: without stage A"),
    Experiment("i2g-small", "i2g", _SMALL_I2G, _OURS, "I2G in minutes on a CPU"),
    Experiment("wav2pix", "wav2pix", wav2pix.Settings(), "Wav2Pix, official code", "Wav2Pix at 128 pixels"),
    Experiment("wav2pix-small", "wav2pix", _SMALL_WAV2PIX, _OURS, "Wav2Pix in minutes on a CPU"),
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
