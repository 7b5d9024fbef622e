"""Detectors and landmarkers: what is found, at which sizes, and how sizes follow one another."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manifests import weights
from pipeline import geometry, warp
from pipeline.faces import detect, landmark
from pipeline.faces.detect import Face
from pipeline.world.faces import photograph
from pipeline.world.scene import Scene
from pipeline.world.traits import draw_person


@cache
def portrait(index: int = 0, pupil_px: float = 80.0) -> tuple[np.ndarray, np.ndarray]:
    """A drawn portrait and its true pupils."""
    scene = Scene(seed=2, pupil_px=pupil_px, width=int(6 * pupil_px), height=int(7 * pupil_px))
    photo = photograph(draw_person(4, index), scene)
    return photo.pixels, photo.pupils


def on_canvas(pixels: np.ndarray, width: int, height: int, left: int, top: int) -> np.ndarray:
    canvas = np.full((height, width, 3), 120, np.uint8)
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return canvas


def find(pixels: np.ndarray, second_look_px: int | None = None) -> list[Face]:
    return detect.find(pixels, "dlib_hog", 512, second_look_px)


@pytest.mark.parametrize("index", range(4))
def test_one_face_is_found_where_it_is(index: int) -> None:
    pixels, pupils = portrait(index)
    faces = find(pixels)
    assert len(faces) == 1
    left, top, right, bottom = faces[0].box
    assert ((pupils > (left, top)) & (pupils < (right, bottom))).all()


def test_a_small_face_in_a_large_picture_is_found_at_full_size() -> None:
    """At 512 px the face is far below the detector's 80 px; only the search at full size sees it."""
    pixels, pupils = portrait(0, 50.0)
    large = on_canvas(pixels, 1900, 1400, 1100, 700)
    faces = find(large)
    assert len(faces) == 1
    left, top, right, bottom = faces[0].box
    there = pupils + np.array([1100, 700])
    assert ((there > (left, top)) & (there < (right, bottom))).all()


def test_a_small_picture_is_enlarged_once() -> None:
    pixels, _ = portrait(0, 80.0)
    small = warp.resized(pixels, 0.2)
    assert not detect._hog(np.ascontiguousarray(small[..., 1]), max(small.shape), [])
    assert len(find(small)) == 1


def test_a_rival_that_the_first_search_cannot_see_is_found() -> None:
    main, rival = portrait(0, 72.0)[0], portrait(1, 64.0)[0]
    both = on_canvas(main, 1300, 700, 20, 100)
    both[200 : 200 + rival.shape[0], 900 : 900 + rival.shape[1]] = rival
    faces = find(both)
    assert len(faces) == 2
    assert detect.RIVAL_AREA < detect.rival_area(faces) < 1.01


def test_a_face_alone_has_no_rival() -> None:
    assert detect.rival_area([Face((0, 0, 10, 10), 1.0)]) == 0.0


def test_the_main_face_is_large_and_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large box that the detector hardly believes in does not come before a face."""
    doubtful, face, small = Face((0, 0, 150, 150), 0.05), Face((200, 0, 330, 130), 2.0), Face((400, 0, 460, 60), 2.5)
    monkeypatch.setattr(detect, "_hog", lambda *_: [doubtful, small, face])
    assert find(np.zeros((500, 500, 3), np.uint8))[0] is face


def test_nothing_is_found_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    assert find(noise, 240) == []


def test_the_second_look_finds_a_face_on_its_side() -> None:
    pixels = np.ascontiguousarray(np.rot90(portrait(0)[0]))
    assert find(pixels) == []
    assert len(find(pixels, 300)) == 1


def test_dlib_cnn_agrees_with_hog() -> None:
    pixels, _ = portrait(2)
    hog, cnn = find(pixels)[0], detect.find(pixels, "dlib_cnn", 400, None)[0]
    assert geometry.overlap(hog.box, cnn.box) > 0.4


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.5])
def test_landmarks_follow_the_pictures_size(scale: float) -> None:
    """Given the same box, a resized copy gets the same landmarks within 2.5 % of the pupil distance."""
    pixels, _ = portrait(0)
    box = find(pixels)[0].box
    here = landmark.place(pixels, box, "dlib_hog")
    copy = warp.resized(pixels, scale)
    matrix = geometry.resizing((0, 0, pixels.shape[1], pixels.shape[0]), copy.shape[1], copy.shape[0])
    there = landmark.place(copy, geometry.bounds(geometry.apply(matrix, np.reshape(box, (2, 2)))), "dlib_hog")
    assert geometry.landmark_error(geometry.apply(geometry.invert(matrix), there), here) < 0.025


def test_mirrored_pictures_get_mirrored_landmarks() -> None:
    pixels, _ = portrait(1)
    box, width = find(pixels)[0].box, pixels.shape[1]
    here = landmark.place(pixels, box, "dlib_hog")
    mirrored = np.ascontiguousarray(pixels[:, ::-1])
    there = landmark.place(mirrored, (width - box[2], box[1], width - box[0], box[3]), "dlib_hog")
    assert geometry.landmark_error(geometry.mirror(there, width), here) < 0.01


@pytest.mark.parametrize("index", range(3))
def test_landmarks_that_do_not_fit_disagree_with_their_mirror_image(index: int) -> None:
    """A head on its side: the trees know only upright faces, and answer with some."""
    pixels, _ = portrait(index)
    box = find(pixels)[0].box
    fits = landmark.spread(landmark.place_twice(pixels, box, "dlib_hog"))
    lying = np.ascontiguousarray(np.rot90(pixels))
    lying_box = (box[1], pixels.shape[1] - box[2], box[3], pixels.shape[1] - box[0])
    assert fits < 0.05 < landmark.spread(landmark.place_twice(lying, lying_box, "dlib_hog"))


def test_pupils_of_annotated_photographs(real_data: Path) -> None:
    """iBUG's own points: the median eye centre is within 2 % of the pupil distance."""
    errors = []
    for name in (f"lfpw_000{n}" for n in range(1, 6)):
        lines = (real_data / "landmarks" / f"{name}.pts").read_text().split("{")[1].split("}")[0].split("\n")
        truth = np.array([[float(v) for v in line.split()] for line in lines if line.strip()]) - 1.0
        pixels = np.asarray(Image.open(real_data / "landmarks" / f"{name}.png").convert("RGB"))
        found = landmark.place(pixels, find(pixels)[0].box, "dlib_hog")
        true_eyes, eyes = geometry.eye_centres(truth), geometry.eye_centres(found)
        errors += list(np.linalg.norm(eyes - true_eyes, axis=1) / geometry.distance(true_eyes[0], true_eyes[1]))
    assert len(errors) == 10
    assert np.median(errors) <= 0.02


def test_heat_maps_become_points() -> None:
    """The quarter-pixel step goes towards the hotter neighbour; at the edge of the map there is none."""
    heat = np.zeros((3, 8, 8), np.float32)
    heat[0, 4, 3], heat[0, 4, 4], heat[0, 3, 3] = 1.0, 0.6, 0.4
    heat[1, 0, 0] = 1.0
    heat[2, 7, 5], heat[2, 7, 4] = 1.0, 0.2
    assert landmark.peaks(heat).tolist() == [[3.25, 3.75], [0.0, 0.0], [4.75, 7.0]]


def test_face_alignment_finds_the_same_face() -> None:
    for name in ("s3fd", "fan-2d-4"):
        if not weights.verify(name).ok:
            pytest.skip(f"weights {name} are not on this machine")
    pixels, _ = portrait(0)
    face, dlibs = detect.find(pixels, "fan", 512, None)[0], find(pixels)[0]
    assert geometry.overlap(face.box, dlibs.box) > 0.4
    here, there = landmark.place(pixels, face.box, "fan"), landmark.place(pixels, dlibs.box, "dlib_hog")
    assert geometry.landmark_error(here, there) < 0.15


def test_fan_undoes_its_crop_and_mirrors_its_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in network that marks the brightest pixel shows where FAN's answer lands in the picture."""
    torch = pytest.importorskip("torch")

    def brightest(batch: "torch.Tensor") -> list["torch.Tensor"]:
        small = torch.nn.functional.avg_pool2d(batch.mean(dim=1, keepdim=True), 4)
        return [small.expand(-1, 68, -1, -1)]

    pixels = np.zeros((400, 500, 3), np.uint8)
    pixels[151:159, 281:289] = 255  # centred on (284.5, 154.5)
    monkeypatch.setattr(landmark, "_fan_network", lambda: brightest)
    at = landmark.place(pixels, (200.0, 100.0, 320.0, 220.0), "fan")
    assert np.allclose(at, [284.5, 154.5], atol=3.0)
