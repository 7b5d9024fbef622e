"""The voice encoders: published sizes and counts, any length, nothing shared between the voices of a batch."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.encoders import CHANNELS, ConvEncoder, InceptionEncoder
from models.layers import ConvBlock1d, Inception1d
from tests.models.networks import (
    check_bfloat16,
    check_captured,
    check_gradients,
    check_rows_alone,
    n_parameters,
    on_meta,
    shapes,
)

SMALL = (16, 16, 24, 32)
ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "inception": lambda: InceptionEncoder(6, SMALL, 20),
    "inception of the paper": lambda: InceptionEncoder(6, SMALL, 20, paper=True),
    "cnn": lambda: ConvEncoder(6, SMALL, 20, normalise=True),
    "cnn of voice2face": lambda: ConvEncoder(6, SMALL, 20, normalise=False),
}
every_encoder = pytest.mark.parametrize("build", ENCODERS.values(), ids=ENCODERS)

# SF2F fact: frames after each of the five layers.
FRAMES = {
    100: (50, 25, 13, 7, 4),
    125: (63, 32, 16, 8, 4),
    126: (63, 32, 16, 8, 4),
    128: (64, 32, 16, 8, 4),
    150: (75, 38, 19, 10, 5),
}


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda: InceptionEncoder(40), 4_848_192),
        (lambda: InceptionEncoder(40, paper=True), 5_401_664),
        (lambda: ConvEncoder(40, CHANNELS, 512, normalise=True), 3_813_952),
        (lambda: ConvEncoder(64, CHANNELS, 64, normalise=False), 2_670_720),
    ],
    ids=ENCODERS,
)
def test_published_parameter_counts(build: Callable[[], nn.Module], count: int) -> None:
    assert n_parameters(on_meta(build)) == count


def test_parameters_of_the_last_convolution() -> None:
    assert n_parameters(on_meta(lambda: InceptionEncoder(40)).last) == 1_327_616


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("frames", FRAMES)
def test_shapes_after_each_layer_of_the_inception_encoder(frames: int, paper: bool) -> None:
    encoder = on_meta(lambda: InceptionEncoder(40, paper=paper))
    mel = torch.empty(2, 40, frames, device="meta")
    layers = (Inception1d,) if paper else (Inception1d, nn.Conv1d)
    got = [shape for shape in shapes(encoder, layers, mel) if shape[0] in (*CHANNELS, 512)]
    assert got == list(zip((*CHANNELS, 512), FRAMES[frames], strict=True))
    assert encoder(mel).shape == (2, 512)


@pytest.mark.parametrize("frames", FRAMES)
def test_shapes_after_each_layer_of_the_cnn(frames: int) -> None:
    encoder = on_meta(lambda: ConvEncoder(40, CHANNELS, 512, normalise=True))
    mel = torch.empty(2, 40, frames, device="meta")
    assert shapes(encoder, ConvBlock1d, mel) == list(zip(CHANNELS, FRAMES[frames][:4], strict=True))
    assert shapes(encoder.last, nn.Conv1d, torch.empty(2, 864, FRAMES[frames][3], device="meta")) == [
        (512, FRAMES[frames][4])
    ]


def test_voice2face_turns_800_frames_into_25() -> None:
    encoder = on_meta(lambda: ConvEncoder(64, CHANNELS, 64, normalise=False))
    got = shapes(encoder, nn.Conv1d, torch.empty(2, 64, 800, device="meta"))
    assert got == [(256, 400), (384, 200), (576, 100), (864, 50), (64, 25)]


@every_encoder
@given(frames=st.integers(2, 70))
@settings(max_examples=20, deadline=None)
def test_any_length_gives_an_embedding(build: Callable[[], nn.Module], frames: int) -> None:
    encoder = build().eval()
    with torch.no_grad():
        embedding = encoder(torch.randn(2, 6, frames))
    assert embedding.shape == (2, 20)
    assert embedding.isfinite().all()
    if getattr(encoder, "normalise", True):
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("frames", [0, 1])
@every_encoder
def test_fewer_than_two_frames_are_refused(build: Callable[[], nn.Module], frames: int) -> None:
    with pytest.raises(ValueError, match=f"a spectrogram of {frames} frames: the encoder needs 2 or more"):
        build()(torch.zeros(1, 6, frames))


def test_the_length_of_voice2faces_embedding_is_its_own() -> None:
    """The mean over time of the last convolution; whoever uses it brings it to unit length."""
    torch.manual_seed(0)
    encoder = ConvEncoder(6, SMALL, 20, normalise=False).eval()
    unit = ConvEncoder(6, SMALL, 20, normalise=True).eval()
    unit.load_state_dict(encoder.state_dict())
    mel = torch.randn(3, 6, 40)
    embedding = encoder(mel)
    assert (embedding.norm(dim=1) - 1).abs().min() > 0.1
    torch.testing.assert_close(embedding, encoder.last(encoder.convolutions(mel)).mean(dim=2))
    torch.testing.assert_close(embedding / embedding.norm(dim=1, keepdim=True), unit(mel))


def test_the_same_voice_has_the_same_embedding_twice() -> None:
    """No noise in here (the authors' baseline adds it in eval mode too)."""
    encoder = ConvEncoder(6, SMALL, 20, normalise=True).eval()
    mel = torch.randn(3, 6, 40)
    assert torch.equal(encoder(mel), encoder(mel))


@every_encoder
def test_gradients_reach_every_weight(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_gradients(build(), torch.randn(4, 6, 37))


@every_encoder
def test_voices_of_a_batch_do_not_mix(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_rows_alone(build(), torch.randn(4, 6, 37))


@every_encoder
def test_one_graph_for_any_batch_and_length(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    # Export takes a size of 1 for a special case, so the fifth layer must have two frames: 33 at the beginning.
    open_sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("frames", min=33)}
    check_captured(build(), torch.randn(4, 6, 37), torch.randn(3, 6, 60), open_sizes)


@every_encoder
def test_bfloat16(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    check_bfloat16(build(), torch.randn(8, 6, 60))
