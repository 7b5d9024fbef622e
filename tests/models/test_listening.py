"""How voices are heard, against the protocol written down plainly."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import data, listening, pack, sf2f
from models.data import Corpus
from models.listening import Listening
from tests.models import scored

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("listening")
    return data.load(pack.pack(scored.manifest(folder), "test", "sf2f", 64, folder / "packed"), scored.CPU)


def test_the_protocol_of_the_paper_hears_1_25_s_and_5_s_and_fuses_the_same_stretches() -> None:
    fusing, plain = scored.sf2f_model(), scored.sf2f_model(fuser=False)
    names = [how.name for how in listening.default(fusing, (1.25, 5.0))]
    assert names == ["1.25 s", "1.25 s, fused", "5 s", "5 s, fused"]  # its windows are of 0.4 s
    assert [how.name for how in listening.default(plain, (1.25, 5.0))] == ["1.25 s", "5 s"]


def test_fused_windows_lie_in_the_stretch_that_is_also_heard_whole_and_overlap_by_half(corpus: Corpus) -> None:
    model, people = scored.sf2f_model(), np.arange(corpus.n_people)
    whole, fused = (
        listening._drawn(model, corpus, people, Listening("", way, (125, 125)), np.random.default_rng(1))
        for way in ("crop", "fused")
    )
    assert np.array_equal(fused.clip[:, 0], whole.clip) and np.array_equal(fused.start[:, 0], whole.start)
    assert (np.diff(fused.start, axis=1) == 20).all() and fused.frames == 40
    assert (fused.start[:, -1] + 40 - fused.start[:, 0] <= 125).all()
    assert listening.half(125) == 63  # as the released code steps


def test_every_run_hears_other_stretches_and_the_same_run_the_same(corpus: Corpus) -> None:
    model, judge = scored.sf2f_model(), scored.judge()
    how = Listening("", "crop", (50, 50))
    one, again, other = (listening.hear(model, corpus, how, judge, (0, run)).embeddings for run in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_hearing_in_parts_is_hearing_at_once(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    model, judge = scored.sf2f_model(), scored.judge()
    for way in ("crop", "fused", "mean face", "mean voice"):
        how = Listening("", way, (125, 125), authors=way.startswith("mean"))
        found = []
        for at_once in (5, 64, 1000):
            monkeypatch.setattr(listening, "_AT_ONCE", at_once)
            found.append(listening.hear(model, corpus, how, judge, (0, 0)).embeddings)
        torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5)
        torch.testing.assert_close(found[0], found[2], rtol=0, atol=1e-5)


def windows_of(corpus: Corpus, person: int) -> Tensor:
    """The released data set: recordings in order, windows of 125 frames end to end, at most 20, none shorter."""
    found = []
    for clip in range(corpus.clips[0][person], corpus.clips[0][person] + corpus.clips[1][person]):
        first, frames = int(corpus.clip_start[clip]), int(corpus.clip_frames[clip])
        mel = corpus.mels[first : first + frames].float()
        found += [mel[at : at + 125].T for at in range(0, frames - 124, 125)]
    return torch.stack(found[:20])


def test_the_released_modes_against_the_networks_called_one_by_one(corpus: Corpus) -> None:
    model, judge = scored.sf2f_model(), scored.judge()
    encoder, decoder, fuser = (model.networks[name] for name in ("encoder", "decoder", "fuser"))
    expected: dict[str, list[Tensor]] = {"mean face": [], "mean voice": [], "fused": []}
    for person in range(corpus.n_people):
        mels = windows_of(corpus, person)
        assert len(mels) == 5  # 3 of the 400 frames, none of the 60, 2 of the 300
        voices = encoder((mels - sf2f.MEL_MEAN) / sf2f.MEL_STD)
        for way, voice in (("mean voice", voices.mean(0)[None]), ("fused", fuser(voices[None])), ("mean face", voices)):
            faces = torch.cat([sf2f.shown(decoder(one[None])[-1]) for one in voice])
            expected[way].append(F.normalize(judge.network.states(faces)[-1]).mean(0))  # type: ignore[operator]
    by_way = {how.way: how for how in listening.authors(model)}
    assert set(by_way) == {*expected, "crop"}
    for way, wanted in expected.items():
        found = listening.hear(model, corpus, by_way[way], judge, (0, 0))  # type: ignore[index]
        torch.testing.assert_close(found.embeddings, torch.stack(wanted), rtol=0, atol=1e-5)
    apart = [torch.stack(expected[way]) for way in expected]
    assert all((apart[i] - apart[j]).abs().max() > 1e-3 for i in range(3) for j in range(i))


def test_the_mean_of_faces_embeddings_is_shorter_than_a_unit_and_the_first_face_is_shown(corpus: Corpus) -> None:
    model, judge = scored.sf2f_model(), scored.judge()
    how = Listening("", "mean face", (2500, 2500), authors=True)
    made = listening.hear(model, corpus, how, judge, (0, 0))
    assert (made.embeddings.norm(dim=1) < 0.9999).all()
    voice = model.networks["encoder"]((windows_of(corpus, 4)[:1] - sf2f.MEL_MEAN) / sf2f.MEL_STD)
    first = sf2f.shown(model.networks["decoder"](voice)[-1])[0]
    assert (made.faces[4].float() / 255 - first).abs().max() <= 0.51 / 255


def test_a_person_of_short_recordings_only_is_heard_all_the_same(tmp_path: Path) -> None:
    short = pack.pack(scored.manifest(tmp_path, clips=(20, 30)), "test", "sf2f", 64, tmp_path / "packed")
    corpus, model, judge = data.load(short, scored.CPU), scored.sf2f_model(), scored.judge()
    for how in (*listening.default(model, (1.25, 5.0)), *listening.authors(model)):
        found = listening.hear(model, corpus, how, judge, (0, 0)).embeddings
        assert found.shape == (9, 12) and found.isfinite().all(), how.name


def test_voice2face_averages_the_voice_itself(tmp_path: Path) -> None:
    packed = pack.pack(scored.manifest(tmp_path), "test", "voice2face", 64, tmp_path / "packed")
    corpus, model, judge = data.load(packed, scored.CPU), scored.voice2face_model(), scored.judge()
    assert [how.way for how in listening.authors(model)] == ["crop", "mean face", "mean voice"]
    for how in listening.authors(model):
        assert listening.hear(model, corpus, how, judge, (0, 0)).embeddings.isfinite().all()


def test_the_classifier_sees_every_face_once(corpus: Corpus) -> None:
    def classes(faces: Tensor) -> dict[str, Tensor]:
        return {"rgb": faces.mean(dim=(2, 3))}

    how = Listening("", "crop", (50, 50))
    made = listening.hear(scored.clairvoyant(), corpus, how, scored.judge(), (0, 0), classes)
    assert made.classes["rgb"].shape == (9, 3)
    torch.testing.assert_close(made.classes["rgb"], made.faces.float().mean(dim=(2, 3)) / 255)
