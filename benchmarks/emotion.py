"""How well neutral faces are told from others, and the fit that `pipeline.expression.neutrality` uses.

    python benchmarks/emotion.py --data DIR

DIR holds PROVENANCE.csv, `emotion/<label>/` and `faces/`. The photographs of `faces/` were labelled by eye
(expressions.csv beside this file, by sha256); minor smiles and unsure ones are left out of the figures. Every face
is judged by a fit that has seen no picture of the same person. Prints one JSON line.
"""

import argparse
import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from manifests.schema import EMOTIONS
from pipeline import engine, expression
from pipeline.faces import emotion
from pipeline.images import decode
from pipeline.stage import Drop, Row
from stages import emotion as stage
from stages import landmarks

LABELS = Path(__file__).with_name("expressions.csv")
_CROPS = (1.0, 1.1, 1.2, 1.3, 1.4)  # face boxes
_L2 = 1.0  # inverse strength of the regularisation
_NEUTRAL = EMOTIONS.index("neutral")
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Faces:
    """Labelled faces, one row of each array per face."""

    rows: list[Row]  # of the landmarks scores
    neutral: Flags
    person: NDArray[np.str_]
    source: NDArray[np.str_]  # posed, wild or crawl

    def probabilities(self, crop: float) -> NDArray[np.float32]:
        """Those of mini-XCEPTION, n x 7."""
        return emotion.probabilities(np.stack([decode(row["chip"], 10**6) for row in self.rows]), crop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with PROVENANCE.csv, emotion/ and faces/")
    engine.pin_threads()
    faces = read(parser.parse_args().data)
    print(json.dumps(measure(faces), sort_keys=True))


def read(data: Path) -> Faces:
    """Find and measure the face of every labelled photograph, as the landmarks stage does."""
    with LABELS.open(encoding="utf-8") as stream:
        by_eye = {line["sha256"]: line["expression"] for line in csv.DictReader(stream)}
    rows, neutral, person, source = [], [], [], []
    with (data / "PROVENANCE.csv").open(encoding="utf-8") as stream:
        for line in csv.DictReader(stream):
            label = line["label"] if line["category"] == "emotion" else by_eye.get(line["sha256"], "unsure")
            if label in ("unsure", "minor_smile"):
                continue
            row = landmarks.score({"image": (data / line["file"]).read_bytes()}, landmarks.Scoring())
            if row["fault"] is None:
                rows.append(row)
                neutral.append(label == "neutral")
                person.append(line["identity"])
                source.append(_source(line["file"]))
    return Faces(rows, np.array(neutral), np.array(person), np.array(source))


def _source(file: str) -> str:
    if file.startswith("faces/"):
        return "crawl"
    return "posed" if "/yale_" in file else "wild"


def measure(faces: Faces) -> dict[str, object]:
    """Precision and recall of the stage's decision and of the plain network, per source, and the fit itself."""
    plain = {crop: faces.probabilities(crop) for crop in _CROPS}
    seen = plain[emotion.CROP_BOXES]
    found = [expression.features(row["landmarks"]) for row in faces.rows]
    evidence = np.array([expression.evidence(p, f) for p, f in zip(seen.tolist(), found, strict=True)])
    surely = left_out(evidence, faces)
    kept = (surely >= stage.Limits().min_neutrality) & other_rules(faces, seen)
    slopes, offset = fit(evidence, faces.neutral, faces.source)
    labelled = faces.source != "crawl"
    groups = {name: faces.source == name for name in ("posed", "wild", "crawl")} | {"posed and wild": labelled}
    return {
        "stage": {name: rates(kept[at], faces.neutral[at]) for name, at in groups.items()},
        "likeliest is neutral": {
            name: rates(seen[at].argmax(axis=1) == _NEUTRAL, faces.neutral[at]) for name, at in groups.items()
        },
        "average precision": {
            name: {
                "neutrality": round(float(average_precision_score(faces.neutral[at], surely[at])), 3),
                "plain by crop": {
                    str(crop): round(float(average_precision_score(faces.neutral[at], p[at, _NEUTRAL])), 3)
                    for crop, p in plain.items()
                },
            }
            for name, at in groups.items()
        },
        "curve": {
            f"{limit:.2f}": rates(
                (surely >= limit)[labelled] & other_rules(faces, seen)[labelled], faces.neutral[labelled]
            )
            for limit in np.arange(0.5, 0.91, 0.05)
        },
        "slopes": [round(float(slope), 3) for slope in slopes],
        "offset": round(offset, 3),
    }


def other_rules(faces: Faces, seen: NDArray[np.float32]) -> Flags:
    """Which faces pass every rule of the stage except the one on neutrality, which is fitted here."""
    limits = replace(stage.Limits(), min_neutrality=0.0)
    scores = [{f"p_{name}": float(p) for name, p in zip(EMOTIONS, line, strict=True)} for line in seen]
    return np.array(
        [not isinstance(stage.decide(row, s, limits), Drop) for row, s in zip(faces.rows, scores, strict=True)]
    )


def left_out(evidence: NDArray[np.float64], faces: Faces) -> NDArray[np.float64]:
    """Neutrality of every face by a fit without this person."""
    surely = np.zeros(len(evidence))
    for person in np.unique(faces.person):
        his = faces.person == person
        slopes, offset = fit(evidence[~his], faces.neutral[~his], faces.source[~his])
        surely[his] = 1.0 / (1.0 + np.exp(-(evidence[his] @ slopes + offset)))
    return surely


def fit(evidence: NDArray[np.float64], neutral: Flags, source: NDArray[np.str_]) -> tuple[NDArray[np.float64], float]:
    """Slopes and offset of a logistic regression; neutral and other faces of both collections weigh alike."""
    crawl = source == "crawl"
    weight = np.zeros(len(evidence))
    for collection in (crawl, ~crawl):
        for label in (neutral, ~neutral):
            weight[collection & label] = 20.0 / max((collection & label).sum(), 1)
    mean, spread = evidence.mean(axis=0), evidence.std(axis=0)
    model = LogisticRegression(C=_L2, max_iter=1000).fit((evidence - mean) / spread, neutral, weight)
    slopes = model.coef_[0] / spread
    return slopes, float(model.intercept_[0] - slopes @ mean)


def rates(kept: Flags, neutral: Flags) -> dict[str, object]:
    """Precision and recall with Wilson's 95 % intervals and counts."""
    right = int((kept & neutral).sum())
    return {
        "faces": len(neutral),
        "precision": proportion(right, int(kept.sum())),
        "recall": proportion(right, int(neutral.sum())),
    }


def proportion(part: int, whole: int) -> dict[str, object]:
    """A share of a count, with Wilson's (1927) 95 % interval."""
    if whole == 0:
        return {"of": 0}
    share, z = part / whole, 1.96
    centre = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z / (1 + z * z / whole) * float(np.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole)))
    return {"of": whole, "share": round(share, 3), "interval": [round(centre - half, 3), round(centre + half, 3)]}


if __name__ == "__main__":
    main()
