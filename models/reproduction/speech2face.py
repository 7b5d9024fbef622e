"""E-S2F-01 to 12: the tables and figures of "Speech2Face" (Oh et al., CVPR 2019) and of its official result files."""

from dataclasses import replace
from functools import partial

from models.reproduction import dataset
from models.reproduction.attributes import FROM_FACE, FROM_SPEECH
from models.reproduction.called import genders
from models.reproduction.entry import Claim, Entry, Found, Member, against, lines
from models.reproduction.lab import Lab
from models.reproduction.measures import RECALLS, loss_curves, together
from models.reproduction.spoken import (
    Ask,
    decoder_of,
    drawings,
    embedded,
    encoder_on,
    feature_table,
    lacking,
    measured_faces,
    retrieved,
    table_and_sheet,
    worst,
)
from models.reproduction.voices import segments

_DECODER = decoder_of("speech2face", "speech2face-small")
S2F = encoder_on(_DECODER, "Speech2Face")  # on 6 s; the small preset on 3 s
_WARPED = Member("Speech2Face, warped", "speech2face", "speech2face-small", ("decoder=warped",))  # the paper's decoder
_THREE = replace(S2F, name="Speech2Face, 3 s", full_changes=(*S2F.full_changes, "frames=[300,300]"))
_PIXEL = encoder_on(_DECODER, "pixels alone", "loss=pixel")
_FEATURE = encoder_on(_DECODER, "features alone", "loss=feature")
_DURATIONS = (Ask("3 s", _THREE, 3.0), Ask("6 s", S2F, 6.0))
_LOSSES = (Ask("full loss", S2F), Ask("pixels alone", _PIXEL), Ask("features alone", _FEATURE))
_SIMILARITY = ("degrees", "unit L2", "unit L1", "L2", "L1")
_AGREED = ("female", "male", "total")
_CRANIOFACIAL = {
    "upper lip height": 0.156, "lateral upper lip heights": 0.264, "jaw width": 0.107, "nose height": 0.142,
    "nose width": 0.353, "labio-oral region": 0.165, "mandibular index": 0.196, "intercanthal index": 0.210,
    "nasal index": 0.376, "vermilion height index": 0.294, "mouth-face width index": 0.204, "nose area": 0.283,
    "philtrum width": 0.038,
}  # fmt: skip
_RETRIEVAL = lines(RECALLS, {
    "6 s, l2": (8.28, 13.66, 24.66, 35.84),
    "6 s, l1": (8.34, 13.70, 24.66, 36.22),
    "6 s, cosine": (10.92, 17.00, 30.60, 45.82),
    "3 s, l2": (5.86, 10.02, 18.98, 28.92),
    "3 s, l1": (6.22, 9.92, 18.94, 28.70),
    "3 s, cosine": (8.54, 13.64, 24.80, 38.54),
    "random": (1.0, 2.0, 5.0, 10.0),
})  # fmt: skip


def _losses(lab: Lab, entry: Entry) -> Found:
    return together(table_and_sheet(lab, entry, _LOSSES), loss_curves(lab, entry, ("total",)))


ENTRIES = (
    Entry(
        "E-S2F-01", "Speech2Face", "Gender of the face drawn for a voice, by that of the real one.",
        partial(genders, asked=(Ask("from speech", S2F),), beside=FROM_SPEECH), (S2F,), _AGREED,
        lines(_AGREED, {"from speech": (94.0, 94.0, None)})
    ),
    Entry(
        "E-S2F-02", "Speech2Face", "The same of the face drawn for the real one: what the decoder allows.",
        partial(genders, asked=(Ask("from the face", S2F, None), Ask("from speech", S2F)), beside=FROM_FACE), (S2F,),
        _AGREED,
        lines(_AGREED, {"from the face": (89.0, 98.0, None), "from speech": (94.0, 94.0, None),
                        "from speech, by the face drawn from the face": (96.0, 91.0, None)})
    ),
    Entry(
        "E-S2F-03", "Speech2Face", "Features said in 3 and in 6 seconds.",
        partial(feature_table, asked=_DURATIONS),
        (S2F, _THREE), _SIMILARITY,
        lines(_SIMILARITY, {"3 s": (48.43, None, None, 0.19, 9.81), "6 s": (45.75, None, None, 0.18, 9.42)}),
        (Claim("degrees", "3 s", "6 s"),)
    ),
    Entry(
        "E-S2F-04", "Speech2Face", "Real faces found by what a voice says.",
        partial(retrieved, asked=_DURATIONS), (S2F, _THREE), RECALLS, _RETRIEVAL,
        against("6 s, cosine", _RETRIEVAL, ("R@1", "R@10"))
    ),
    Entry(
        "E-S2F-05", "Speech2Face, Figure 8", "The full loss against pixels or features alone.", _losses,
        (S2F, _PIXEL, _FEATURE), ("degrees", "degrees'"),
        claims=(Claim("degrees'", "pixels alone", "full loss"), Claim("degrees", "features alone", "full loss"))
    ),
    Entry(
        "E-S2F-06", "Speech2Face", "Craniofacial measures of faces drawn for voices and for faces.",
        partial(measured_faces, ask=Ask("6 s", _WARPED)), (_WARPED,), ("r", "p", "shuffled"),
        lines(("r",), {name: (r,) for name, r in _CRANIOFACIAL.items()}), (Claim("r", "nasal index", "philtrum width"),)
    ),
    Entry(
        "E-S2F-07", "Speech2Face", "One model heard for 3 and for 6 seconds.",
        partial(drawings, asked=(Ask("face to face", S2F, None), Ask("3 s", S2F, 3.0), Ask("6 s", S2F, 6.0))), (S2F,)
    ),
    Entry("E-S2F-08", "Speech2Face", "Several stretches of one voice.", partial(segments, count=4), (S2F,)),
    Entry(
        "E-S2F-09", "Speech2Face", "One speaker in two languages.",
        partial(lacking, what="column `language` of the recordings, and speakers recorded in two: no manifest has it, "
                "VoxCeleb's metadata do not tell it, and no option supplies it")
    ),
    Entry("E-S2F-10", "Speech2Face", "t-SNE of what voices say, by group.",
        partial(embedded, ask=Ask("6 s", S2F)), (S2F,)),
    Entry("E-S2F-11", "Speech2Face", "The worst of them.", partial(worst, ask=Ask("6 s", S2F)), (S2F,)),
    Entry("E-S2F-12", "Speech2Face", "Who is in the data.", dataset.shares, metrics=dataset.SHARES),
)  # fmt: skip
