"""The person segmenter: its shape, its file, its training, and what the shipped one can do."""

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from manifests import weights
from manifests.errors import DataError, Missing, UsageError
from pipeline.faces import segmenter, segmenter_data, segmenter_drawing
from pipeline.faces.segmenter import Architecture
from pipeline.faces.train_segmenter import TrainSettings, batch, loss, read, train

TINY = Architecture(side=64, stride=16, channels=16)


@pytest.fixture(scope="module")
def shipped() -> segmenter.Segmenter:
    return segmenter.load(weights.path("pspnet-person"))


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("stride", [8, 16])
def test_the_network_answers_at_the_size_it_is_asked(stride: int) -> None:
    net = segmenter.build(Architecture(64, stride, 16)).eval()
    assert net(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 64, 64)


def test_the_unused_last_stage_of_the_encoder_is_gone() -> None:
    names = segmenter.build(TINY).state_dict()
    assert not [name for name in names if "layer4" in name]
    assert [name for name in names if "layer3" in name]


def test_a_saved_network_gives_the_same_answer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = segmenter.build(TINY).eval()
    for values in net.state_dict().values():  # float16 is what the file holds
        values.copy_(values.half() if values.is_floating_point() else values)
    segmenter.save(tmp_path / "net.safetensors", net, TINY, {"steps": 3})
    loaded = segmenter.load(tmp_path / "net.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    before = segmenter.person_probability(pixels, segmenter.Segmenter(net, TINY, {}))
    assert np.array_equal(before, segmenter.person_probability(pixels, loaded))
    assert loaded.about == {"steps": 3}


def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no weights")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("text.safetensors", "other.safetensors"):
        with pytest.raises(DataError, match=name):
            segmenter.load(tmp_path / name)


def test_a_picture_and_its_mirror_get_mirrored_answers(shipped: segmenter.Segmenter) -> None:
    side = shipped.architecture.side
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 6)
    there = segmenter.person_probability(pixels, shipped)
    back = segmenter.person_probability(np.ascontiguousarray(pixels[:, ::-1]), shipped)
    assert np.allclose(there, back[:, ::-1], atol=1e-5)


def test_the_shipped_file_is_small_and_the_registry_knows_it(shipped: segmenter.Segmenter) -> None:
    path = weights.path("pspnet-person")
    assert path.stat().st_size <= 12_000_000
    assert hashlib.sha256(path.read_bytes()).hexdigest() == weights.digest("pspnet-person")
    assert shipped.about["settings"]["keep_third"] is True


def test_the_model_card_names_the_shipped_file() -> None:
    path = weights.path("pspnet-person")
    card = (Path(segmenter.__file__).parent / "pspnet_person.md").read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card


def test_synthetic_people_are_found(shipped: segmenter.Segmenter) -> None:
    """People of another seed than those of the training."""
    ious = []
    for example in segmenter_data.draw_world(8, seed=12345):
        x, y, box = example.faces[0]
        pixels = segmenter_drawing.crop(example.pixels, (x, y, 3 * box), 256, 255)
        truth = segmenter_drawing.crop(example.alpha, (x, y, 3 * box), 256, 0)
        ious.append(iou(segmenter.person_probability(pixels, shipped) > 0.5, truth > 127))
    assert np.mean(ious) > 0.93
    assert min(ious) > 0.85


def test_real_people_are_found(shipped: segmenter.Segmenter, real_data: Path) -> None:
    """A few photographs that were never trained on; `pipeline bench accuracy` measures them all."""
    ious = []
    folder = real_data / "segmentation"
    kept_back = [p for p in sorted((folder / "images").iterdir()) if segmenter_data.held_out(p.read_bytes())]
    for path in kept_back[:8]:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        faces = segmenter_data.find_faces(pixels)
        if not faces:
            continue
        mask = np.asarray(Image.open(folder / "masks" / f"{path.stem}.png").convert("L"))
        mask = cv2.resize(mask, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        square = (faces[0][0], faces[0][1], 3 * faces[0][2])
        crops = [segmenter_drawing.crop(a, square, 256, None) for a in (pixels, mask)]
        ious.append(iou(segmenter.person_probability(crops[0], shipped) > 0.5, crops[1] > 127))
    assert len(ious) >= 4
    assert np.mean(ious) > 0.82


def test_training_goes_on_where_it_stopped_to_the_same_bytes(tmp_path: Path) -> None:
    """Two steps, then two more, equal four."""

    class Killed(Exception):
        pass

    def stop_at_two(measured: dict[str, object]) -> None:
        if measured["step"] == 2:
            raise Killed

    def settings(name: str) -> TrainSettings:
        return TrainSettings(
            out=tmp_path / name, world_people=3, world_share=1.0, steps=4, batch=2, report_every=2, side=64, stride=16
        )

    train(settings("whole.safetensors"), lambda measured: None)
    with pytest.raises(Killed):
        train(settings("broken.safetensors"), stop_at_two)
    resumed = []
    train(settings("broken.safetensors"), lambda measured: resumed.append(measured["step"]))
    assert resumed == [4]
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "broken.safetensors").read_bytes()
    with pytest.raises(UsageError, match="other settings"):
        train(replace(settings("whole.safetensors"), rate=0.5), lambda measured: None)


def test_training_pictures_depend_on_seed_and_step_alone(tmp_path: Path) -> None:
    settings = TrainSettings(out=tmp_path / "x", world_people=2, world_share=1.0, batch=3, side=64)
    learn, _ = read(settings)
    (pixels, masks), (again, _), (other, _) = (batch(learn, settings, step) for step in (5, 5, 6))
    assert pixels.shape == (3, 3, 64, 64)
    assert masks.shape == (3, 1, 64, 64)
    assert 0.0 <= float(masks.min()) <= float(masks.max()) <= 1.0
    assert torch.equal(pixels, again)
    assert not torch.equal(pixels, other)


def test_nothing_to_learn_from_is_an_error_that_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="--folder"):
        read(TrainSettings(out=tmp_path / "x", world_people=0))


def test_the_loss_is_nought_for_a_perfect_answer_and_grows_with_doubt() -> None:
    masks = torch.zeros(1, 1, 8, 8)
    masks[..., :4] = 1.0
    sure, doubt, wrong = (float(loss(scale * (masks - 0.5), masks)) for scale in (60.0, 1.0, -60.0))
    assert sure < 1e-2 < doubt < wrong


def test_a_third_is_held_out_by_its_bytes() -> None:
    kept_back = [segmenter_data.held_out(str(i).encode()) for i in range(3000)]
    assert 0.30 < np.mean(kept_back) < 0.37
    number = int(hashlib.sha256(b"7").hexdigest(), 16)
    assert segmenter_data.held_out(b"7") == (number % 3 == 0)


def test_pascal_voc_is_read_person_against_the_rest(tmp_path: Path) -> None:
    """Class 15 is person, 255 the outline that nobody labelled; pictures without people are left out."""
    for name in ("ImageSets/Segmentation", "SegmentationClass", "JPEGImages"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("a\nb\n")
    for name, inside in (("a", 15), ("b", 7)):
        classes = np.zeros((40, 60), np.uint8)
        classes[10:30, 10:30], classes[10:30, 30] = inside, 255
        label = Image.fromarray(classes, mode="P")
        label.putpalette([value for index in range(256) for value in (index, 0, 0)])
        label.save(tmp_path / f"SegmentationClass/{name}.png")
        Image.new("RGB", (60, 40), (90, 120, 150)).save(tmp_path / f"JPEGImages/{name}.jpg")
    examples = [example for _, example in segmenter_data.read_voc(tmp_path, "train")]
    assert len(examples) == 1
    alpha = examples[0].alpha
    assert (alpha[10:30, 10:30] == 255).all()
    assert (alpha[10:30, 30] == 128).all()
    assert (alpha == 0).sum() == 40 * 60 - 20 * 21


def test_a_shrinking_crop_keeps_its_centre() -> None:
    picture = np.zeros((400, 400), np.uint8)
    picture[90:111, 190:211] = 255
    out = segmenter_drawing.crop(picture, (200.0, 100.0, 160.0), 40, 0)
    y, x = (np.mean(axis) for axis in np.nonzero(out > 127))
    assert abs(x - 20) <= 1
    assert abs(y - 20) <= 1


def test_a_picture_without_a_mask_and_a_folder_without_voc_are_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "alone.png")
    with pytest.raises(DataError, match="alone"):
        list(segmenter_data.read_pairs(tmp_path))
    with pytest.raises(Missing, match="VOC2012"):
        list(segmenter_data.read_voc(tmp_path, "train"))
