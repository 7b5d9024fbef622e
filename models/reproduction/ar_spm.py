"""E-ARSPM-01 to 09: the tables and figures of "Attention-based Residual Speech Portrait Model" (Wang et al. 2020)."""

from functools import partial

from models.reproduction.called import ages, genders
from models.reproduction.entry import Claim, Entry, Member, against, lines
from models.reproduction.measures import loss_curves
from models.reproduction.speech2face import S2F
from models.reproduction.spoken import (
    FEATURE_METRICS,
    Ask,
    decoder_of,
    encoder_on,
    feature_table,
    heard_gender,
    priors,
    table_and_sheet,
)

_FULL, _SMALL = "ar-spm-neutral-fc", "ar-spm-small"
_DECODER = decoder_of(_FULL, _SMALL)
NON_PRIOR = encoder_on(_DECODER, "non-prior", "variant=none")
BEST = encoder_on(_DECODER, "neutral+fc")
_NEUTRAL = encoder_on(_DECODER, "neutral", "variant=neutral")
_GENDER_FC = encoder_on(_DECODER, "gender+fc", "variant=gender+fc")
_GENDER = encoder_on(_DECODER, "gender", "variant=gender")
_FEMALE = encoder_on(_DECODER, "female", "variant=female")
_MALE = encoder_on(_DECODER, "male", "variant=male")
_VARIANTS = (NON_PRIOR, BEST, _NEUTRAL, _GENDER_FC, _GENDER, _FEMALE, _MALE)
_FACE = Ask("face to face", BEST, None)


def _gated(name: str, attention: str) -> Member:
    """Other gates in encoder and decoder, so with a decoder of its own."""
    change = (f"attention={attention}",)
    return Member(name, _FULL, _SMALL, change, change)


def _with_trunk(name: str, full: str, backbone: str, channels: str) -> Member:
    """Another trunk in the encoder; the shared decoder's run holds an encoder of the own trunk, so with one of its own.

    `channels` are the small preset's.
    """
    return Member(name, full, _SMALL, (f"backbone={backbone}", f"encoder_channels={channels}"))


_SERIES = "CBAM, own trunk"
_OTHERS = (
    _gated("gates in parallel", "parallel"),
    _gated("squeeze and excitation", "se"),
    _gated("no attention", "none"),
    _with_trunk("ResNet-18", "ar-spm-resnet", "resnet", "[16,16,32,64,64]"),
    _with_trunk("DenseNet-121", "ar-spm-densenet", "densenet", "[16]"),
    encoder_on(_DECODER, "distillation", "third=distillation"),
)
_ASKED_08 = (Ask(_SERIES, BEST), *(Ask(one.name, one) for one in _OTHERS))

_GROUPS = ("neutral", "male", "female")
_TABLE_1 = lines(_GROUPS, {
    "50 - 10": (27.861, 43.908, 36.924), "100 - 50": (12.155, 24.302, 16.318), "500 - 100": (10.179, 14.937, 15.256),
    "1000 - 500": (3.815, 5.059, 5.797), "5000 - 1000": (3.176, 4.254, 4.505), "10000 - 5000": (1.179, 1.967, 1.913),
})  # fmt: skip
_TABLE_4 = lines(FEATURE_METRICS, {
    "face to face": (None, None, None, 97.158, 1.890, 14.534),
    "non-prior": (162.957, 3.176, 29.191, 179.594, 3.499, 30.231),
    "neutral+fc": (126.524, 2.470, 15.204, 144.027, 2.809, 25.842),
    "neutral": (143.335, 2.795, 27.748, 148.610, 2.897, 25.973),
    "gender+fc": (155.008, 3.023, 28.115, 171.860, 3.350, 29.308),
    "gender": (145.192, 2.831, 27.994, 150.900, 2.941, 26.104),
    "female": (128.641, 2.501, 19.438, 156.399, 3.048, 21.721),
    "male": (130.861, 2.542, 19.610, 152.985, 2.981, 21.409),
})  # fmt: skip
_SHARES = ("male", "female", "total")
_TABLE_5 = lines(_SHARES, {
    "face to face": (97.4, 92.7, 95.5), "non-prior": (95.6, 89.8, 93.2), "neutral+fc": (97.9, 89.9, 94.7),
    "female": (87.7, 93.6, 90.1), "male": (97.4, 68.0, 85.8),
})  # fmt: skip
_AGES = ("young", "middle", "elder", "total")
_TABLE_6 = lines(_AGES, {
    "face to face": (76.0, 70.5, 46.7, 70.3), "non-prior": (65.5, 53.6, 33.1, 57.1),
    "neutral+fc": (67.6, 66.1, 51.2, 65.2), "female": (55.5, 70.4, 23.5, 63.0), "male": (64.8, 64.2, 40.4, 62.9),
})  # fmt: skip
_ASKED_5 = (_FACE, *(Ask(one.name, one) for one in (NON_PRIOR, BEST, _FEMALE, _MALE)))

ENTRIES = (
    Entry(
        "E-ARSPM-01", "AR-SPM, Table 1", "Priors of more and more faces.",
        partial(priors, sizes=(10, 50, 100, 500, 1000, 5000, 10_000)), (BEST,), _GROUPS, _TABLE_1,
        (Claim("neutral", "50 - 10", "100 - 50"), Claim("neutral", "100 - 50", "500 - 100"),
         Claim("male", "50 - 10", "100 - 50"), Claim("female", "50 - 10", "100 - 50"))
    ),
    Entry(
        "E-ARSPM-02", "AR-SPM, Table 4", "The seven ways to use a prior.",
        partial(table_and_sheet, asked=(_FACE, *(Ask(one.name, one) for one in _VARIANTS))), _VARIANTS, FEATURE_METRICS,
        _TABLE_4, against("neutral+fc", _TABLE_4, ("degrees", "degrees'"))
    ),
    Entry(
        "E-ARSPM-03", "AR-SPM, Table 5", "Gender of the drawn face, by that of the real one.",
        partial(genders, asked=_ASKED_5), (NON_PRIOR, BEST, _FEMALE, _MALE), _SHARES, _TABLE_5,
        (
            *against("neutral+fc", _TABLE_5, ("total",)), Claim("female", "female", "male"),
            Claim("male", "male", "female"),
        )
    ),
    Entry(
        "E-ARSPM-04", "AR-SPM, Table 6", "Age group of the drawn face, by that of the real one.",
        partial(ages, asked=_ASKED_5), (NON_PRIOR, BEST, _FEMALE, _MALE), _AGES, _TABLE_6,
        against("neutral+fc", _TABLE_6, ("total",))
    ),
    Entry(
        "E-ARSPM-05", "AR-SPM", "The loss with and without a prior.",
        partial(loss_curves, losses=("total", "direction", "first_layer", "classes")), (NON_PRIOR, BEST)
    ),
    Entry(
        "E-ARSPM-06", "AR-SPM", "What the face decoder makes of real faces.",
        partial(table_and_sheet, asked=(_FACE,)), (BEST,), ("L1'", "L2'", "degrees'"),
        lines(("L1'", "L2'", "degrees'"), {"face to face": (97.158, 1.890, 14.534)})
    ),
    Entry(
        "E-ARSPM-07", "AR-SPM", "The speech gender classifier.", heard_gender, (_GENDER,), ("accuracy",),
        lines(("accuracy",), {"gender": (97.01,)})
    ),
    Entry(
        "E-ARSPM-08", "AR-SPM", "Other gates, other trunks, and distillation in the third term.",
        partial(feature_table, asked=_ASKED_08), (BEST, *_OTHERS), FEATURE_METRICS,
        claims=tuple(Claim("degrees", other.name, _SERIES) for other in _OTHERS)
    ),
    Entry(
        "E-ARSPM-09", "AR-SPM", "Against Speech2Face.",
        partial(feature_table, asked=(Ask("neutral+fc", BEST), Ask("Speech2Face", S2F))), (BEST, S2F),
        FEATURE_METRICS, lines(("degrees",), {
            "neutral+fc": (15.204,), "Speech2Face": (40.66,), "Speech2Face, as its own paper has it": (45.75,)}),
        (Claim("degrees", "Speech2Face", "neutral+fc"),)
    ),
)  # fmt: skip
