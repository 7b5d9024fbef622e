"""Speech2Face's confusion matrices of attributes that no manifest has, as its official result files hold them."""

from collections.abc import Sequence

from models.agreement import DECADES
from models.reproduction.entry import Line, Table

_ETHNICITIES = ("Asian", "Black", "India", "White")


def _printed(title: str, labels: Sequence[str], rows: Sequence[Sequence[float]]) -> Table:
    """A matrix without ours: rows the original picture's label, columns the drawn one's, shares of each row."""
    lines = tuple(Line(label, dict(zip(labels, row, strict=True))) for label, row in zip(labels, rows, strict=True))
    return Table(title, tuple(labels), (), lines)


_AGES = tuple(map(str, DECADES))
FROM_SPEECH = {
    "ethnicity": _printed("Ethnicity, drawn from speech.", _ETHNICITIES, (
        (0.50, 0.03, 0.10, 0.38),
        (0.27, 0.11, 0.13, 0.49),
        (0.27, 0.13, 0.13, 0.48),
        (0.30, 0.04, 0.05, 0.61),
    )),
    "age": _printed("Age in decades, drawn from speech.", _AGES, (
        (0.00, 0.38, 0.38, 0.23, 0.00, 0.00, 0.00),
        (0.00, 0.26, 0.38, 0.24, 0.09, 0.02, 0.01),
        (0.00, 0.21, 0.32, 0.32, 0.10, 0.03, 0.02),
        (0.00, 0.09, 0.32, 0.33, 0.18, 0.05, 0.02),
        (0.00, 0.07, 0.24, 0.27, 0.30, 0.08, 0.05),
        (0.00, 0.05, 0.12, 0.33, 0.28, 0.16, 0.05),
        (0.00, 0.08, 0.14, 0.20, 0.14, 0.10, 0.35),
    )),
}  # fmt: skip
FROM_FACE = {
    "ethnicity": _printed("Ethnicity, drawn from the face.", _ETHNICITIES, (
        (0.71, 0.01, 0.03, 0.24),
        (0.21, 0.41, 0.12, 0.25),
        (0.20, 0.12, 0.55, 0.14),
        (0.15, 0.02, 0.06, 0.76),
    )),
    "age": _printed("Age in decades, drawn from the face.", _AGES, (
        (0.00, 0.85, 0.00, 0.15, 0.00, 0.00, 0.00),
        (0.03, 0.58, 0.29, 0.07, 0.03, 0.00, 0.00),
        (0.00, 0.25, 0.42, 0.23, 0.07, 0.02, 0.00),
        (0.00, 0.07, 0.27, 0.46, 0.18, 0.01, 0.01),
        (0.00, 0.00, 0.08, 0.25, 0.52, 0.12, 0.03),
        (0.00, 0.01, 0.04, 0.10, 0.34, 0.40, 0.11),
        (0.00, 0.00, 0.00, 0.02, 0.10, 0.27, 0.61),
    )),
}  # fmt: skip
