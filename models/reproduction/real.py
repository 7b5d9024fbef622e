"""Scores of real faces by their resolution: Inception Score and VGGFace Score."""

from manifests.errors import Missing
from models import inception
from models.probes import scored
from models.reproduction.entry import Entry, Found, Line, Table, Value
from models.reproduction.lab import Lab

SIDES = (64, 128, 256)


def scores_by_resolution(lab: Lab, entry: Entry) -> Found:
    """Of every real face of split `test`, reduced or enlarged to each side."""
    classes, told = lab.classifier
    errors = [] if classes else [Missing(f"VFS: {told['why']}")]
    try:
        network = inception.load(lab.device)
    except Missing as error:
        network = None
        errors.append(Missing(f"IS: {error}"))
    ours = []
    for side in SIDES if classes or network else ():
        faces = lab.faces("test", side).faces.float() / 255
        values: dict[str, Value] = {}
        if network is not None:
            values["IS"] = scored(inception.probabilities(network, faces), lab.seed)
        if classes is not None:
            values["VFS"] = scored(classes(faces)["rgb"], lab.seed)
        ours.append(Line(str(side), values))
    if not ours:
        return Found(errors=tuple(errors))
    table = Table(entry.asks, entry.metrics, tuple(ours), entry.published, entry.claims)
    return Found((table,), errors=tuple(errors))
