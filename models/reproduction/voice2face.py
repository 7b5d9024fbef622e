"""E-V2F-01 to 09: the tables and figures of "Face Reconstruction from Voice using GANs" (Wen et al., NeurIPS 2019)."""

from dataclasses import replace
from functools import partial

from models.literature import MATCHERS, VOICE2FACE
from models.reproduction import dataset
from models.reproduction.called import REAL
from models.reproduction.entry import Claim, Entry, Found, Line, Member, lines
from models.reproduction.i2g import DIMNET_G, DIMNET_I, SVHF
from models.reproduction.lab import Lab
from models.reproduction.matched import Choice, always, matched
from models.reproduction.measures import Heard, judged, percent, together
from models.reproduction.sf2f import VOICE
from models.reproduction.voices import (
    by_group,
    from_noise,
    noise_against_voice,
    segments,
)

V2F = Member("voice2face", "voice2face", "voice2face-small", start=VOICE, full_start=VOICE)
_UNSEEN, _KNOWN = VOICE2FACE[:2]
_SECONDS = (1.0, 2.0, 3.0, 5.0, 10.0)
_MATCHING = ("matching", "same gender")
_THEIRS = "the papers' own networks"


def _printed(member: Member) -> tuple[float, float]:
    """The paper's accuracies of a matcher."""
    accuracy = next(row.v_f for row in MATCHERS if row.experiment == member.full)
    return accuracy[2, "U"], accuracy[2, "G"]


_COLUMNS = {"matching": Choice("V-F", 2), "same gender": Choice("V-F", 2, "G")}


def _matching(lab: Lab, entry: Entry) -> Found:
    """voice2face by its faces, as `models evaluate` does; the matchers by their own scores."""
    generated = judged(lab, entry, (Heard("voice2face", V2F),), theirs=_THEIRS)
    own = matched(lab, entry, tuple(always(one.name, one, _COLUMNS) for one in (SVHF, DIMNET_I, DIMNET_G)))
    ours = (*generated.tables[0].ours, *own.tables[0].ours)
    title = f"{generated.tables[0].title} SVHF-Net and DIMNet are asked by their own scores."
    return replace(together(generated, own), tables=(replace(own.tables[0], title=title, ours=ours),))


def _gender(lab: Lab, entry: Entry) -> Found:
    """Generated faces, and real ones, by the probe of real training faces."""
    found = judged(lab, entry, (Heard("voice2face", V2F),), theirs=_THEIRS)
    (table,) = found.tables
    if not table.ours:
        return found
    real = Line(REAL, {"gender": percent(lab.report(V2F)["gender_probe"])})
    return replace(found, tables=(replace(table, ours=(*table.ours, real)),))


_DURATIONS = tuple(Heard(f"{seconds:g} s", V2F, f"{seconds:g} s") for seconds in _SECONDS)

ENTRIES = (
    Entry(
        "E-V2F-01", "voice2face, Table 1", "People, pictures and recordings, by split.", dataset.counts,
        metrics=dataset.COUNTS,
        published=lines(dataset.COUNTS, {
            "all": (1225.0, 139_572.0, 149_354.0, None), "train": (924.0, 106_584.0, 113_322.0, None),
            "val": (112.0, 12_533.0, 14_182.0, None), "test": (189.0, 20_455.0, 21_850.0, None),
        })
    ),
    Entry("E-V2F-02", "voice2face", "Faces from noise.", partial(from_noise, seconds=_SECONDS), (V2F,)),
    Entry(
        "E-V2F-03", "voice2face", "How much speech it takes.",
        partial(judged, heard=_DURATIONS, seconds=_SECONDS), (V2F,), ("cosine", "R@1", "R@10", "gender")
    ),
    Entry("E-V2F-04", "voice2face", "Faces of each gender and group of ages.", by_group, (V2F,)),
    Entry("E-V2F-05", "voice2face", "Seven stretches of each voice.", partial(segments, count=7), (V2F,)),
    Entry(
        "E-V2F-06", "voice2face", "What the discriminator makes of faces from voices and from noise.",
        noise_against_voice, (V2F,), ("realness", "spread"),
        lines(("realness", "spread"), {"voice": (0.09, 0.13), "noise": (0.06, 0.07)}),
        (Claim("realness", "voice", "noise"),)
    ),
    Entry(
        "E-V2F-07", "voice2face",
        "Faces of training people, from recordings that were trained on, named in a closed set; of 924 in the paper.",
        partial(judged, heard=(Heard("voice2face", V2F),), theirs=_THEIRS), (V2F,), ("top-1", "top-5"),
        lines(("top-1", "top-5"), {"voice2face": (_KNOWN.top_1, _KNOWN.top_5)})
    ),
    Entry(
        "E-V2F-08", "voice2face", "Gender of generated faces by a probe of real ones.",
        _gender, (V2F,), ("gender",), lines(("gender",), {"voice2face": (_UNSEEN.gender,), REAL: (98.97,)})
    ),
    Entry(
        "E-V2F-09", "voice2face, Table 3", "Matching a voice with one of two faces, here through a generated one.",
        _matching, (V2F, SVHF, DIMNET_I, DIMNET_G), _MATCHING,
        lines(_MATCHING, {
            "voice2face": (_UNSEEN.matching, _UNSEEN.same_gender),
            "voice2face, training people": (_KNOWN.matching, _KNOWN.same_gender),
            **{one.name: _printed(one) for one in (SVHF, DIMNET_I, DIMNET_G)},
        }),
        (Claim("matching", "DIMNet-I", "SVHF-Net"), Claim("matching", "SVHF-Net", "voice2face"),
         Claim("matching", "voice2face", "DIMNet-G"), Claim("same gender", "voice2face", "DIMNet-G"))
    ),
)  # fmt: skip
