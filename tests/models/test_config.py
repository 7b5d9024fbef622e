"""`--set key=value`: typed, listed, and harmless."""

import pytest

from manifests.errors import UsageError
from models.config import assigned
from models.experiments import find

SF2F = find("sf2f-64")


def test_assignments_change_settings_and_nothing_else() -> None:
    settings = assigned(
        SF2F.settings, ["batch=32", "rate=0.001", "sides=[64, 128]", "judge=dlib", "encoder=cnn", "batch=16"], SF2F.name
    )
    assert (settings.batch, settings.rate, settings.sides, settings.judge, settings.encoder) == (
        16, 0.001, (64, 128), "dlib", "cnn"
    )  # fmt: skip
    assert settings.windows == SF2F.settings.windows and SF2F.settings.batch == 256
    assert assigned(SF2F.settings, [], SF2F.name) == SF2F.settings


@pytest.mark.parametrize("text", ["bach=32", "batch", "=3", "", "_batch=3", "__class__=3"])
def test_an_unknown_key_lists_the_valid_ones(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected key=value.*batch, betas, contrast, decoder.*windows"):
        assigned(SF2F.settings, [text], SF2F.name)


@pytest.mark.parametrize(
    "text",
    ["batch=many", "batch=0", "batch=1.5", "batch='8'", "rate=-1", "rate=.nan", "rate=.inf", "sides=64", "encoder=lstm",
     "judge=3", "betas=[0.9]", "batch=[1]", "batch=", "batch=true", "batch=!!python/object/apply:os.getcwd []"],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"sf2f-64|not YAML"):
        assigned(SF2F.settings, [text], SF2F.name)


def test_numbers_may_be_written_with_an_exponent() -> None:
    assert assigned(SF2F.settings, ["rate=3e-4"], SF2F.name).rate == 3e-4


def test_every_setting_of_every_system_can_be_set() -> None:
    for name in ("sf2f-64", "voice2face", "speaker"):
        one = find(name)
        assert assigned(one.settings, ["iterations=7"], name).iterations == 7
