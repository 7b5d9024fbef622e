"""E-I2G-01 to 10: the tables and figures of "From Inference to Generation" (Choi, Park and Lee, ICLR 2020)."""

from functools import partial

from models.reproduction.conditioned import (
    QTA_1,
    QTA_2,
    follows,
    grid,
    interpolation,
    preferences,
    retrieval,
    truncations,
)
from models.reproduction.entry import Claim, Entry, Member, lines
from models.reproduction.matched import Asked, Choice, always, matched
from models.reproduction.measures import RECALLS

_MATCHING_ONLY = "iterations=0"  # of the GAN
I2G = Member("I2G", "i2g", "i2g-small")
_BY_FACE = Member("I2G, trained F-V", "i2g-fv", "i2g-small", ("way=F-V", _MATCHING_ONLY), (_MATCHING_ONLY,))
_NO_MIL = Member("I2G w/o mil", "i2g-no-mil", "i2g-small", ("mil=false",))
_NO_STAGE_A = Member("I2G w/o stage A", "i2g-no-stage-a", "i2g-small", ("stage_a=false",))
DIMNET_I = Member("DIMNet-I", "dimnet-i", "dimnet-small", ("covariates=[identity]",))
DIMNET_G = Member("DIMNet-G", "dimnet-g", "dimnet-small", ("covariates=[gender]",))
DIMNET_IG = Member("DIMNet-IG", "dimnet-ig", "dimnet-small")
SVHF = Member("SVHF-Net", "svhf", "svhf-small")
_SVHF_10 = Member("SVHF-Net", "svhf-10", "svhf-small", ("candidates=10",))
_SVHF_FV = Member("SVHF-Net", "svhf-fv", "svhf-small", ("way=F-V",))

_WAYS = {f"{way} {k}-way": Choice(way, k) for way in ("V-F", "F-V") for k in (2, 10)}
_TABLE_1 = lines(tuple(_WAYS), {
    "I2G": (89.22, 54.33, 86.94, 49.20), "I2G, trained F-V": (85.10, 44.70, 88.47, 52.55),
})  # fmt: skip
_TABLE_2 = lines(tuple(_WAYS), {
    "SVHF-Net": (81.00, 35.0, 79.50, None),  # 35 and 40 are read off a graph
    "DIMNet-IG": (84.12, 40.0, 84.03, None),
    "I2G": (79.90, 55.66, 80.83, 54.84),
})  # fmt: skip
_SVHF_COLUMNS = dict(zip(_WAYS, zip((SVHF, _SVHF_10, _SVHF_FV), _WAYS.values(), strict=False), strict=False))
_TABLE_3 = lines(RECALLS, {
    "I2G w/o mil, l1": (7.32, 12.81, 24.41, 38.82), "I2G w/o mil, l2": (7.21, 12.83, 24.34, 39.24),
    "I2G w/o mil, cosine": (7.36, 13.04, 24.78, 39.59), "I2G, l1": (12.97, 20.98, 36.56, 52.66),
    "I2G, l2": (12.90, 21.5, 36.84, 52.49), "I2G, cosine": (13.59, 21.69, 36.94, 53.83),
    "Speech2Face, l1": (8.34, 13.7, 24.66, 36.22), "Speech2Face, l2": (8.28, 13.66, 24.66, 35.84),
    "Speech2Face, cosine": (10.92, 17.00, 30.60, 45.82), "random": (1.0, 2.0, 5.0, 10.0),
})  # fmt: skip

ENTRIES = (
    Entry(
        "E-I2G-01", "I2G, Table 1", "Matching by the way that was trained: each is better the way it was.",
        partial(matched, asked=(always("I2G", I2G, _WAYS), always("I2G, trained F-V", _BY_FACE, _WAYS))),
        (I2G, _BY_FACE), tuple(_WAYS), _TABLE_1,
        tuple(Claim(f"V-F {k}-way", "I2G", "I2G, trained F-V") for k in (2, 10))
        + tuple(Claim(f"F-V {k}-way", "I2G, trained F-V", "I2G") for k in (2, 10))
    ),
    Entry(
        "E-I2G-02", "I2G, Table 2", "Matching against SVHF-Net and DIMNet.",
        partial(matched, asked=(
            Asked("SVHF-Net", _SVHF_COLUMNS), always("DIMNet-IG", DIMNET_IG, _WAYS), always("I2G", I2G, _WAYS))),
        (SVHF, _SVHF_10, _SVHF_FV, DIMNET_IG, I2G), tuple(_WAYS), _TABLE_2,
        (Claim("V-F 2-way", "DIMNet-IG", "SVHF-Net"), Claim("V-F 2-way", "DIMNet-IG", "I2G"),
         Claim("V-F 10-way", "I2G", "SVHF-Net"), Claim("V-F 10-way", "I2G", "DIMNet-IG"))
    ),
    Entry("E-I2G-03", "I2G", "Rows of one voice, columns of one noise.", grid, (I2G,)),
    Entry("E-I2G-04", "I2G", "From voice to voice.", partial(interpolation, of="c"), (I2G,)),
    Entry("E-I2G-05", "I2G", "From noise to noise.", partial(interpolation, of="z"), (I2G,)),
    Entry(
        "E-I2G-06", "I2G, QTA 1", "Faces lie apart as their voices do, less so within a gender.", follows, (I2G,),
        QTA_1,
        lines(("conditions", "faces"), {"I2G, different genders": (0.46, 0.27), "I2G, the same gender": (0.28, 0.15)}),
        tuple(Claim(of, "I2G, different genders", "I2G, the same gender") for of in ("conditions", "faces"))
    ),
    Entry(
        "E-I2G-07", "I2G, QTA 2", "Which of two faces the inference network prefers.", preferences, (I2G, _NO_MIL),
        QTA_2,
        lines(QTA_2, {"I2G": (76.65, 79.68, 95.14), "I2G w/o mil": (47.2, None, None)}),
        (Claim(QTA_2[0], "I2G", "I2G w/o mil"),)
    ),
    Entry(
        "E-I2G-08", "I2G, Table 3", "Real faces found by the generated one.", retrieval, (I2G, _NO_MIL), RECALLS,
        _TABLE_3,
        tuple(Claim(f"R@{k}", f"I2G, {of}", f"I2G w/o mil, {of}") for of in ("l1", "l2", "cosine") for k in (1, 10))
    ),
    Entry(
        "E-I2G-09", "I2G", "Truncation of the noise, uncurated samples of 19 speakers.",
        partial(truncations, limits=(0.5, 1.0), people=19), (I2G,)
    ),
    Entry(
        "E-I2G-10", "I2G", "Without stage A the faces do not follow the voice.", follows, (I2G, _NO_STAGE_A),
        QTA_1, claims=(Claim("r", "I2G", "I2G w/o stage A"),)
    ),
)  # fmt: skip
