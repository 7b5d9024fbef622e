"""The embedding is dlib's own, from the same chip."""

import dlib
import numpy as np

from manifests import weights
from pipeline.faces import embed
from pipeline.images import encode_jpeg
from pipeline.world.faces import photograph
from pipeline.world.scene import draw_scene
from pipeline.world.traits import draw_person
from stages import landmarks


def test_it_is_what_dlib_computes_from_the_same_landmarks() -> None:
    pixels = photograph(draw_person(3, 0), draw_scene(np.random.default_rng(0))).pixels
    scores = landmarks.score({"image": encode_jpeg(pixels, 95)}, landmarks.Scoring())
    points = [dlib.point(round(x), round(y)) for x, y in np.reshape(scores["landmarks"], (68, 2)).tolist()]
    edges = [round(value) for value in scores["face_box"]]
    face = dlib.full_object_detection(dlib.rectangle(*edges), dlib.points(points))
    theirs = np.array(
        dlib.face_recognition_model_v1(str(weights.path("dlib-face"))).compute_face_descriptor(pixels, face)
    )
    ours = embed.descriptor(embed.chip(pixels, scores["landmarks"]))
    assert ours.shape == (embed.NUMBERS,)
    assert np.abs(ours - theirs).max() < 1e-4
