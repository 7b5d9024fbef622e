"""Do the small matchers learn which face goes with which voice? Trains and scores them on the synthetic world.

    python -m benchmarks.matchers --out DIR [--people 1000] [--only dimnet-small]

Each also on pairs of strangers' voices and faces. Prints one JSON line: accuracy on unseen people, CPU minutes. The
same command goes on where a stopped one was, and makes nothing twice.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.proof import CPU, shuffled, trained, world
from models import matching, state
from models.matching_scores import Plan
from models.scores import Figure

MATCHERS: dict[str, list[str]] = {  # and what is changed of them
    "dimnet-small": [], "dimnet-frozen-small": [], "svhf-small": [], "i2g-small": ["iterations=0"],  # stage A alone
}  # fmt: skip
KINDS = ("true", "shuffled")  # pairs


def measured(run: Path, manifest: Path) -> Figure:
    """Every accuracy of a run, by way, number of candidates and stratum; chance; how long its training took."""
    plan = Plan()
    report = matching.evaluate(state.load_model(run, CPU), manifest, plan, manifest.parent / "packed", CPU)
    matching.write(run, report, plan)
    found: Figure = {
        f"{one['way']} {one['candidates']}-way {one['stratum']}": {
            name: one[name] for name in ("mean", "interval", "chance", "gender_only")
        }
        for one in report["choices"]
        if "mean" in one
    }
    return found | {"cpu_minutes": json.loads((run / "minutes.json").read_text(encoding="utf-8"))}


def prove(out: Path, people: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Everything, as JSON holds it. Shuffled or not, unseen people are those of the true manifest."""
    manifest = world(out / "world", people)
    of_kind = dict(zip(KINDS, (manifest, shuffled(manifest)), strict=True))
    found = {
        name: {
            kind: measured(trained(out / f"{name}-{kind}", of_kind[kind], name, 0, MATCHERS[name]), manifest)
            for kind in KINDS
        }
        for name in names
    }
    return {"benchmark": "matchers", "people": people, "matchers": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=tuple(MATCHERS), default=tuple(MATCHERS))
    given = parser.parse_args()
    print(json.dumps(prove(given.out, given.people, tuple(given.only))))


if __name__ == "__main__":
    main()
