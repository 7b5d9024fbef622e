"""VGG-Face's layout against torchvision's VGG-16, its preparation, and the narrow network that stands in for it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from manifests.errors import DataError, Missing
from models import face_features, face_net, judges, pretrain_face, vggface
from models.published import fold
from models.vggface import FEATURES, Shape, VggFace
from pipeline.world.manifest import Recipe, write_manifest
from tests.models.networks import n_parameters, on_meta, settled

CPU = torch.device("cpu")
NARROW = Shape(classes=7, width=2, hidden=8, side=64)


def narrow(seed: int = 0) -> VggFace:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return VggFace(NARROW).eval()


def test_the_published_network_has_the_parameters_of_vgg_16_with_2622_classes() -> None:
    assert n_parameters(on_meta(VggFace)) == 138_357_544 - 1000 * 4097 + 2622 * 4097 == 145_002_878


def test_names_are_those_of_the_published_file() -> None:
    names = set(on_meta(VggFace).state_dict())
    convolutions = [f"conv{stage}_{place}" for stage, n in enumerate((2, 2, 3, 3, 3), 1) for place in range(1, n + 1)]
    assert len(convolutions) == 13
    layers = [*convolutions, "fc6", "fc7", "fc8"]
    assert names == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}


@torch.no_grad()
def test_features_and_logits_are_those_of_torchvisions_layers() -> None:
    ours = narrow()
    theirs = torchvision.models.vgg16(num_classes=3).features
    layers = iter([m for name, m in ours.named_children() if name.startswith("conv")])
    trunk = nn.Sequential(*(next(layers) if isinstance(m, nn.Conv2d) else m for m in theirs))
    x = torch.randn(2, 3, 64, 64)
    hidden = ours.fc7(F.relu(ours.fc6(trunk(x).flatten(1))))
    torch.testing.assert_close(ours.features(x, rectified=False), hidden)
    torch.testing.assert_close(ours.features(x), F.relu(hidden))
    torch.testing.assert_close(ours(x), F.normalize(F.relu(hidden)))


@torch.no_grad()
def test_pictures_are_prepared_as_the_published_weights_expect() -> None:
    face = torch.rand(1, 3, 224, 224)
    expected = 255 * face - torch.tensor([129.186, 104.762, 93.594]).view(3, 1, 1)
    torch.testing.assert_close(vggface.prepared(face, 224), expected)
    small = vggface.prepared(torch.full((1, 3, 64, 64), 0.5), 224)
    assert small.shape == (1, 3, 224, 224)
    torch.testing.assert_close(small[0, :, 0, 0], 127.5 - torch.tensor([129.186, 104.762, 93.594]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    vggface.write(tmp_path / "vgg.safetensors", narrow(), {"half": "a"})
    return tmp_path / "vgg.safetensors"


def test_a_shorter_penultimate_layer_is_kept_in_its_file(tmp_path: Path) -> None:
    vggface.write(tmp_path / "short.safetensors", VggFace(replace(narrow().shape, features=24)), {"half": "a"})
    found = face_features.load(str(tmp_path / "short.safetensors"), CPU)
    assert found.features(torch.rand(2, 3, 80, 80)).shape == (2, 24) and found.network.shape.features == 24


def test_a_file_of_ours_gives_features_and_says_which_network_made_them(file: Path) -> None:
    found = face_features.load(str(file), CPU)
    assert found.name == "own-vgg-a" and len(found.sha256) == 64
    faces = torch.rand(3, 3, 80, 80, requires_grad=True)
    features = found.features(faces)
    assert features.shape == (3, FEATURES) and (features >= 0).all() and found.logits(features).shape == (3, 7)
    features.sum().backward()  # type: ignore[no-untyped-call]
    assert faces.grad is not None and faces.grad.any()
    assert not any(weight.requires_grad for weight in found.network.parameters())


@torch.no_grad()
def test_logits_of_features_before_and_after_their_relu_are_the_same(file: Path) -> None:
    found = face_features.load(str(file), CPU)
    faces = torch.rand(2, 3, 64, 64)
    before, after = found.features(faces, rectified=False), found.features(faces)
    assert (before < 0).any()
    torch.testing.assert_close(found.logits(before, rectified=False), found.logits(after))


@torch.no_grad()
def test_all_features_at_once_are_those_of_each_part(file: Path) -> None:
    found = face_features.load(str(file), CPU)
    faces = torch.randint(256, (5, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(found.of_all(faces, at_once=2), found.features(faces.float() / 255))


def test_only_the_middle_of_the_frame_is_looked_at_by_a_network_of_ours(file: Path) -> None:
    found, face = face_features.load(str(file), CPU), torch.rand(1, 3, 80, 80)
    margin = face.clone()
    margin[..., :10, :] = 0
    assert torch.equal(found.features(face), found.features(margin))


def test_absent_weights_name_the_command_that_makes_or_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("HQVOX_WEIGHTS", raising=False)
    with pytest.raises(Missing, match="pipeline weights fetch vggface"):
        face_features.load("vggface", CPU)
    with pytest.raises(Missing, match="models pretrain-face --set layout=vgg"):
        face_features.load(str(tmp_path / "none.safetensors"), CPU)


def test_published_weights_load_and_anything_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vggface, "VggFace", lambda: VggFace(NARROW))
    torch.save(narrow().state_dict(), tmp_path / "right.pth")
    face = torch.rand(1, 3, 64, 64)
    assert torch.equal(vggface.read_published(tmp_path / "right.pth").features(face), narrow().features(face))
    torch.save(VggFace(replace(NARROW, hidden=9)).state_dict(), tmp_path / "wrong.pth")
    with pytest.raises(DataError, match=r"wrong\.pth does not fit VggFace"):
        vggface.read_published(tmp_path / "wrong.pth")


@pytest.mark.parametrize(
    ("shape", "half", "told"),
    [
        ({"width": 10**6}, "a", "of a size that can be"),
        ({"width": "x"}, "a", "of a size that can be"),
        ({}, "c", "expected a or b"),
        ({"width": 3}, "a", "does not fit"),
    ],
)
def test_a_hostile_file_is_an_error_before_it_costs_memory(
    tmp_path: Path, shape: dict[str, object], half: str, told: str
) -> None:
    network = narrow()
    held = {"classes": 7, "width": 2, "hidden": 8, "side": 64, **shape}
    facts = {"kind": vggface.KIND, "shape": held, "half": half}
    vggface.state.write(tmp_path / "x.safetensors", vggface.state.weights({"face": network}), facts)
    with pytest.raises(DataError, match=told):
        vggface.read(tmp_path / "x.safetensors")


def test_a_judge_is_no_face_feature_network(tmp_path: Path) -> None:
    shape = face_net.Shape(4, 8)
    face_net.write(tmp_path / "own.safetensors", face_net.OwnNet(shape), shape, {"half": "a"})
    with pytest.raises(DataError, match="VGG layout"):
        face_features.load(str(tmp_path / "own.safetensors"), CPU)


@torch.no_grad()
def test_a_trained_network_is_the_same_without_its_batch_norms() -> None:
    torch.manual_seed(0)
    network = settled(VggFace(replace(NARROW, classes=0), norms=True), torch.randn(4, 3, 64, 64))
    assert isinstance(network, VggFace)
    x = torch.randn(2, 3, 64, 64)
    expected = network.features(x)
    fold(network)
    network.norms = False
    directions = torch.randn(5, FEATURES)
    whole = vggface.finished(network, directions, scale=3.0)
    torch.testing.assert_close(whole.features(x), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(whole.fc8(expected), 3 * expected @ F.normalize(directions).T)
    assert whole.shape == replace(NARROW, classes=5)


def test_pretraining_makes_one_that_tells_its_people_apart(tmp_path: Path) -> None:
    recipe = Recipe(people=12, faces_per_person=3, clips_per_person=1, clip_s=2.0, buckets=1)
    manifest = write_manifest(tmp_path / "world", replace(recipe, val_fraction=0.0, test_fraction=0.0))
    settings = pretrain_face.Settings(layout="vgg", width=8, embedding=32, epochs=25, batch=9)
    out = pretrain_face.train(tmp_path / "vgg.safetensors", manifest, "a", settings, CPU)
    found = face_features.load(str(out), CPU)
    _, facts = vggface.read(out)
    assert facts["other_half"]["people"] >= 2 and facts["settings"]["layout"] == "vgg"
    packed = pretrain_face.pack(manifest, "train", "sf2f", pretrain_face.FRAME, tmp_path / "packed")
    people = [pretrain_face.half_of(person) == "a" for person in packed.people]
    owner = torch.from_numpy(packed.arrays["face_person"].copy())
    label = (torch.tensor(people).cumsum(0) - 1)[owner]
    mine = torch.tensor(people)[owner]
    logits = found.logits(found.of_all(torch.from_numpy(packed.arrays["faces"].copy())))[mine]
    assert logits.shape[1] == sum(people)
    assert (logits.argmax(1) == label[mine]).float().mean() > 2 / sum(people), "better than chance by twice"


def test_a_judge_of_the_vgg_layout_is_not_loaded_as_one(file: Path) -> None:
    with pytest.raises(DataError, match="no face network"):
        judges.load(str(file), CPU)
