"""Batches: who is drawn how often, where crops lie, that nothing but (seed, phase, iteration) decides."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import data
from models.data import Corpus, Draw
from models.pack import pack
from models.system import Batch, Phase
from pipeline.frontend import WAVE
from tests.models.drawn import Sketch, write_manifest

CPU = torch.device("cpu")
PAIRED = Phase("one", "paired", 10, 4, (30, 50), {})
UNPAIRED = replace(PAIRED, kind="unpaired")
WINDOWS = Phase("two", "windows", 10, 4, (40, 40), {}, windows=3, stride=20)
FACES = Phase("three", "faces", 10, 4, (0, 0), {})
PHASES = {"paired": PAIRED, "unpaired": UNPAIRED, "windows": WINDOWS}


@pytest.fixture(scope="module")
def corpus(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return data.load(pack(manifest, "train", "sf2f", 64, tmp_path_factory.mktemp("packed")), CPU)


def same(one: Draw | Batch, other: Draw | Batch) -> bool:
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)]
    return all(
        # Landmarks that are not known are NaN.
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind == "f")
        if a is not None
        else b is None
        for a, b in pairs
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), number=st.integers(0, 5), iteration=st.integers(0, 10**6))
@pytest.mark.parametrize("kind", PHASES)
def test_a_draw_is_a_function_of_seed_phase_and_iteration(
    corpus: Corpus, kind: str, seed: int, number: int, iteration: int
) -> None:
    phase = PHASES[kind]
    drawn = data.draw(corpus, phase, seed, number, iteration)
    assert same(drawn, data.draw(corpus, phase, seed, number, iteration))
    others = [(seed + 1, number, iteration), (seed, number + 1, iteration), (seed, number, iteration + 1)]
    assert not any(same(drawn, data.draw(corpus, phase, *other)) for other in others)


@pytest.mark.parametrize("kind", PHASES)
def test_every_person_is_drawn_equally_often(corpus: Corpus, kind: str) -> None:
    drawn = [data.draw(corpus, PHASES[kind], 3, 0, iteration) for iteration in range(30)]  # 120 voices of 6 people
    for name in ("person", "face_person"):
        people = np.concatenate([getattr(d, name) for d in drawn])
        assert np.bincount(people).tolist() == [20] * 6
        rounds = people.reshape(-1, 6)
        assert all(sorted(r) == list(range(6)) for r in rounds.tolist()) and len({tuple(r) for r in rounds}) > 10


@pytest.mark.parametrize("kind", PHASES)
def test_recordings_and_faces_are_their_persons_and_all_are_used(corpus: Corpus, kind: str) -> None:
    a = corpus.packed.arrays
    drawn = [data.draw(corpus, PHASES[kind], 5, 0, iteration) for iteration in range(60)]
    for d in drawn:
        person = d.person if d.clip.ndim == 1 else np.repeat(d.person[:, None], d.clip.shape[1], axis=1)
        assert (a["clip_person"][d.clip] == person).all()
        assert (a["face_person"][d.face] == d.face_person).all()
    assert set(np.concatenate([d.face for d in drawn])) == set(range(12))
    if kind != "windows":  # there recordings shorter than a window wait until a person has no longer one
        assert set(np.concatenate([d.clip for d in drawn])) == set(range(18))


def test_voices_and_faces_are_paired_or_drawn_apart(corpus: Corpus) -> None:
    for iteration in range(20):
        drawn = data.draw(corpus, PAIRED, 0, 0, iteration)
        assert (drawn.person == drawn.face_person).all()
    apart = [data.draw(corpus, UNPAIRED, 0, 0, iteration) for iteration in range(200)]
    share = np.mean([d.person == d.face_person for d in apart])
    assert 0.1 < share < 0.24  # by chance one in six


@pytest.mark.parametrize("kind", PHASES)
def test_the_parts_of_two_processes_are_the_whole_batch(corpus: Corpus, kind: str) -> None:
    whole = data.draw(corpus, PHASES[kind], 1, 0, 7)
    parts = [whole.part(rank, 2) for rank in range(2)]
    for f in fields(whole):
        value = getattr(whole, f.name)
        if isinstance(value, np.ndarray):
            joined = np.empty_like(value)
            joined[0::2], joined[1::2] = (getattr(part, f.name) for part in parts)
            np.testing.assert_array_equal(joined, value)
        else:
            assert all(getattr(part, f.name) == value for part in parts)


def test_crops_lie_inside_recordings_and_their_lengths_span_the_range(corpus: Corpus) -> None:
    lengths, starts = set(), []
    for iteration in range(400):
        d = data.draw(corpus, PAIRED, 0, 0, iteration)
        lengths.add(d.frames)
        has = corpus.clip_frames[d.clip]
        assert (d.start >= 0).all() and (d.start < has).all()
        long = has >= d.frames
        assert (d.start + d.frames <= has)[long].all()
        starts += (d.start + d.frames == has)[long].tolist()
    assert lengths == set(range(30, 51))
    assert any(starts)  # the last frame is reached


def test_gather_equals_one_item_after_the_other(corpus: Corpus) -> None:
    """A recording of 20 frames under crops of 30 to 50 repeats."""
    a = corpus.packed.arrays
    short = 0
    for kind, phase in PHASES.items():
        for iteration in range(12):
            d = data.draw(corpus, phase, 2, 1, iteration)
            batch = data.gather(corpus, d, CPU)
            for row in range(len(d.person)):
                for window in range(d.clip.shape[1]) if kind == "windows" else [None]:
                    at = (row,) if window is None else (row, window)
                    begin, frames = a["clip_start"][d.clip[at]], a["clip_frames"][d.clip[at]]
                    mel = np.array(a["mels"][begin : begin + frames], np.float32)
                    mel = np.tile(mel, (1 + (d.start[at] + d.frames) // frames, 1))
                    short += int(frames < d.frames)
                    np.testing.assert_array_equal(batch.mel[at], mel[d.start[at] : d.start[at] + d.frames].T)
                    np.testing.assert_array_equal(batch.mel_mean[at], a["clip_mean"][d.clip[at]])
                    np.testing.assert_array_equal(batch.mel_std[at], a["clip_std"][d.clip[at]])
                np.testing.assert_array_equal(batch.face[row], np.float32(a["faces"][d.face[row]]) / np.float32(255))
            assert batch.identity.tolist() == d.person.tolist() and batch.face_index.tolist() == d.face.tolist()
            assert batch.face_identity.tolist() == d.face_person.tolist()
            assert (batch.n_windows is None) == (kind != "windows")
    assert short > 10


def test_a_batch_of_faces_has_no_voices(corpus: Corpus) -> None:
    faces = set()
    for iteration in range(30):
        d = data.draw(corpus, FACES, 2, 0, iteration)
        assert same(d, data.draw(corpus, FACES, 2, 0, iteration))
        batch = data.gather(corpus, d, CPU)
        assert batch.mel.shape == (4, 0, 0) and batch.mel_mean.shape == batch.mel_std.shape == (4, 0)
        assert torch.equal(batch.identity, batch.face_identity) and batch.n_windows is None
        np.testing.assert_array_equal(batch.face.numpy(), np.float32(corpus.faces[d.face]) / np.float32(255))
        owner = corpus.packed.arrays["face_person"][d.face]
        assert batch.identity.tolist() == owner.tolist()
        part = data.gather(corpus, d.part(1, 2), CPU)
        assert torch.equal(part.face, batch.face[1::2]) and len(part.mel) == 2
        faces |= set(d.face.tolist())
    assert faces == set(range(12))


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("waves")
    path = write_manifest(folder, Sketch(audio=True, landmarks=True))
    return data.load(pack(path, "train", WAVE, 64, folder / "packed"), CPU)


@pytest.mark.parametrize("phase", [PAIRED, WINDOWS], ids=["crops", "windows"])
def test_a_wave_is_the_recordings_samples_repeated_where_it_is_short(waves: Corpus, phase: Phase) -> None:
    a, short = waves.packed.arrays, 0
    for iteration in range(12):
        d = data.draw(waves, phase, 2, 0, iteration)
        batch = data.gather(waves, d, CPU)
        assert batch.mel.shape == (*d.clip.shape, 160, d.frames) and batch.wave.shape == (*d.clip.shape, 160 * d.frames)
        for at in np.ndindex(*d.clip.shape):
            begin, frames = a["clip_start"][d.clip[at]], a["clip_frames"][d.clip[at]]
            samples = np.array(a["mels"][begin : begin + frames]).ravel() / 32768
            samples = np.tile(samples, 2 + d.frames // frames)
            short += int(frames < d.frames)
            first = 160 * d.start[at]
            np.testing.assert_array_equal(batch.wave[at], np.float32(samples[first : first + 160 * d.frames]))
    assert short > 3 or phase is WINDOWS


def test_landmarks_come_with_their_face(waves: Corpus) -> None:
    for phase in (PAIRED, UNPAIRED, FACES):
        d = data.draw(waves, phase, 1, 0, 0)
        landmarks = data.gather(waves, d, CPU).landmarks
        assert landmarks is not None and landmarks.dtype == torch.float32
        np.testing.assert_array_equal(landmarks, waves.packed.arrays["landmarks"][d.face])
        assert torch.isfinite(landmarks).all()


def one_person(frames: list[int]) -> Corpus:
    """A corpus that is only asked for the lengths of one person's recordings."""
    ints = np.array
    nothing = torch.empty(0)
    owned = (ints([0]), ints([len(frames)]))
    return Corpus(None, *[nothing] * 5, ints([0]), ints(frames), owned, owned)  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 200), min_size=1, max_size=6),
    frames=st.integers(2, 90),
    stride=st.integers(1, 90),
    most=st.integers(1, 8),
    seed=st.none() | st.integers(0, 99),
)
def test_windows_lie_inside_recordings_a_stride_apart(
    lengths: list[int], frames: int, stride: int, most: int, seed: int | None
) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    clip, start, count = data.windows(one_person(lengths), np.array([0]), frames, stride, most, rng)
    assert clip.shape == start.shape == (1, most) and 1 <= count[0] <= most
    real = list(zip(clip[0, : count[0]].tolist(), start[0, : count[0]].tolist(), strict=True))
    assert len(set(real)) == len(real)  # no window twice
    long = [length for length in lengths if length >= frames]
    for one, at in real:
        assert at + frames <= lengths[one] if long else at == 0
        assert (lengths[one] >= frames) == bool(long)
    by_clip = {one: [at for clip_, at in real if clip_ == one] for one, _ in real}
    assert all(np.diff(starts).tolist() == [stride] * (len(starts) - 1) for starts in by_clip.values())
    if rng is None:
        possible = sum((length - frames) // stride + 1 for length in long) or len(lengths)
        assert count[0] == min(possible, most) and all(starts[0] == 0 for starts in by_clip.values())
        assert list(by_clip) == sorted(by_clip)
    filling = list(zip(clip[0, count[0] :].tolist(), start[0, count[0] :].tolist(), strict=True))
    assert set(filling) <= set(real)  # finite, whatever masks it


@pytest.mark.parametrize("kind", PHASES)
def test_batches_from_any_iteration_on_are_those_of_an_uninterrupted_run(corpus: Corpus, kind: str) -> None:
    phase = PHASES[kind]
    whole = list(data.batches(corpus, phase, 0, 0, 0, (0, 1), CPU))
    rest = list(data.batches(corpus, phase, 0, 0, 6, (0, 1), CPU))
    assert len(whole) == 10 and len(rest) == 4
    assert all(same(one, other) for one, other in zip(whole[6:], rest, strict=True))


def test_a_phase_that_is_done_gives_no_batch(corpus: Corpus) -> None:
    assert list(data.batches(corpus, PAIRED, 0, 0, PAIRED.iterations, (0, 1), CPU)) == []
