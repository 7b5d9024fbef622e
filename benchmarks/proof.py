"""Do the small presets learn faces from voices? Trains and scores them on the synthetic world.

    python benchmarks/proof.py --out DIR [--seeds 3] [--people 1000]

SF2F, voice2face, and SF2F on pairs of strangers' voices and faces, each with every seed. Prints one JSON line and a
table. The same command goes on where a stopped one was, and makes nothing twice.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from manifests.schema import MANIFEST
from manifests.table import provenance, read_rows, write_table, write_text
from models import data, judges, listening, metrics, pack, pretrain_face, state
from models.config import assigned
from models.experiments import find
from models.face_net import Half
from models.judges import Judge
from models.scores import Figure, figure
from models.setup import Options
from models.train import train
from pipeline.world.ceiling import ceiling
from pipeline.world.manifest import Recipe, write_manifest
from pipeline.world.traits import draw_person, voice_latent

SECONDS = (1.25, 5.0)
SYSTEMS = {"SF2F": "sf2f-small", "voice2face": "voice2face-small", "SF2F, shuffled pairs": "sf2f-small"}
SHUFFLED = "SF2F, shuffled pairs"
VOICE = "speaker-small"  # what voice2face freezes
JUDGES = ("own-b", "dlib")  # own-a is in the loss
GALLERIES = {"all": 100, "same_gender": 50}  # people in each
K = 10
AVERAGE = 0.99  # decay of the averaged weights
RUNS = 3  # draws of the voices
SHRINKAGE = 0.1  # of the covariance that whitens embeddings
RIDGE = 10.0
CPU = torch.device("cpu")
PERSON = ("identity_id", "name", "gender", "nationality")
Recalls = dict[str, dict[str, list[float]]]  # of each person, by way of listening and kind of gallery


def world(out: Path, people: int) -> Path:
    """The manifest: 62 % of the people to train on, 6 % to validate, 32 % never seen."""
    path = out / "hq_voxceleb.parquet"
    return path if path.exists() else write_manifest(out, Recipe(people, val_fraction=0.06, test_fraction=0.32))


def shuffled(manifest: Path) -> Path:
    """A manifest on the same shards in which the voices of splits train and val belong to other people's faces."""
    path = manifest.with_name("shuffled.parquet")
    if path.exists():
        return path
    rows = read_rows(manifest)
    facts = {row["identity_id"]: {column: row[column] for column in PERSON} for row in rows}
    for split in ("train", "val"):
        people = sorted({row["identity_id"] for row in rows if row["split"] == split})
        mixed = np.random.default_rng(0).permutation(people)
        given = dict(zip(mixed.tolist(), np.roll(mixed, 1).tolist(), strict=True))  # nobody keeps their own
        for row in rows:
            if row["split"] == split and row["kind"] == "speech":
                row.update(facts[given[row["identity_id"]]])
    write_table(path, MANIFEST, rows, provenance(manifest))
    return path


def face_judges(out: Path, manifest: Path) -> dict[Half, Path]:
    """The face networks of both halves of the training people."""
    halves: tuple[Half, ...] = ("a", "b")
    return {
        half: pretrain_face.train(out / f"own-{half}.safetensors", manifest, half, pretrain_face.Settings(), CPU)
        for half in halves
    }


def trained(run: Path, manifest: Path, name: str, seed: int, changes: list[str], start: Path | None = None) -> Path:
    """A finished run of an experiment; how long its last sitting took is written beside it."""
    if (run / "minutes.json").exists():
        return run
    experiment = find(name)
    settings = assigned(experiment.settings, changes, name)
    began = time.process_time()
    train(run, manifest, experiment, settings, Options(CPU, seed, start=start, average=AVERAGE, validate_every=0))
    write_text(run / "minutes.json", json.dumps(round((time.process_time() - began) / 60, 1)))
    return run


def galleries(genders: list[str | None]) -> dict[str, list[Tensor]]:
    """Galleries of 100 of everybody, and of 50 of one gender; fewer people make one smaller gallery."""
    within = []
    for gender in ("f", "m"):
        places = torch.tensor([place for place, of in enumerate(genders) if of == gender])
        within += [places[chosen] for chosen in metrics.galleries(len(places), GALLERIES["same_gender"], 0)]
    return {"all": metrics.galleries(len(genders), GALLERIES["all"], 0), "same_gender": within}


def recalled(found: list[Tensor], wanted: Tensor, genders: list[str | None]) -> dict[str, list[float]]:
    """Recall@10 of each person, averaged over draws of the voices, in galleries of each kind."""
    return {
        kind: torch.stack([metrics.recall(one, wanted, places, K).cpu() for one in found]).mean(0).tolist()
        for kind, places in galleries(genders).items()
    }


def scored(run: Path, manifest: Path, judge: Judge) -> Recalls:
    """Recall of each person by way of listening and kind of gallery, from a file if the run was scored before."""
    file = run / f"recall-{judge.name}.json"
    if not file.exists():
        model = state.load_model(run, CPU)
        corpus = corpus_of(manifest, "test", model.system.FRONT_END, model.system.side(model.settings))
        wanted, genders = metrics.references(judge, corpus), list(corpus.packed.genders)
        found = {}
        for how in listening.default(model, SECONDS):
            heard = [listening.hear(model, corpus, how, judge, (0, run_number)) for run_number in range(RUNS)]
            found[how.name] = recalled([made.embeddings for made in heard], wanted, genders)
        write_text(file, json.dumps(found))
    stored: Recalls = json.loads(file.read_text(encoding="utf-8"))
    return stored


def corpus_of(manifest: Path, split: str, front_end: str, side: int) -> data.Corpus:
    return data.load(pack.pack(manifest, split, front_end, side, manifest.parent / "packed"), CPU)


def ceilings(manifest: Path, judge: Judge) -> dict[str, Any]:
    """What the judge makes of real photographs, and of the true traits of the voices.

    The second is Fisher's linear discriminant, fitted on the training people: the voice's expected embedding, weighted
    by the inverse covariance of what voices do not tell. No picture need exist that the judge would embed so.
    """
    test, known = (corpus_of(manifest, split, "sf2f", pretrain_face.FRAME) for split in ("test", "train"))
    real = pretrain_face.real_against_real(judge, test.faces, test.packed.arrays["face_person"])
    x, y = traits(known), metrics.references(judge, known).double().numpy()
    mean, scale = x.mean(axis=0), x.std(axis=0)
    x, y = (x - mean) / scale, y - y.mean(axis=0)
    slopes = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    covariance = np.cov(y - x @ slopes, rowvar=False)
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    query = torch.from_numpy(np.linalg.solve(covariance, ((traits(test) - mean) / scale @ slopes).T).T)
    told = recalled([query], metrics.references(judge, test), list(test.packed.genders))
    return {"real_photograph": {"all": real.recall_10}, "true_traits": {k: float(np.mean(v)) for k, v in told.items()}}


def traits(corpus: data.Corpus) -> np.ndarray:
    """The hidden voice traits and the gender of each person, (people, 9)."""
    seed = Recipe(people=1).seed
    people = [draw_person(seed, int(name.removeprefix("id")) - 90000) for name in corpus.packed.people]
    return np.array([[*voice_latent(person.voice, person.gender), person.gender == "f"] for person in people])


def summary(values: list[Recalls]) -> dict[str, dict[str, Figure]]:
    """Means over the seeds, with 95 % intervals over the people, by way of listening and kind of gallery."""
    return {way: {kind: _over_seeds([one[way][kind] for one in values]) for kind in GALLERIES} for way in values[0]}


def _over_seeds(per_seed: list[list[float]]) -> Figure:
    return figure([torch.tensor(one) for one in per_seed]) | {"seeds": [float(np.mean(one)) for one in per_seed]}


def gain(better: list[Recalls], way: str, worse: list[Recalls], than: str) -> dict[str, Figure]:
    """Differences of the recall of the same people, with intervals."""
    return {
        kind: _over_seeds(
            [(np.array(b[way][kind]) - np.array(w[than][kind])).tolist() for b, w in zip(better, worse, strict=True)]
        )
        for kind in GALLERIES
    }


def prove(out: Path, people: int, seeds: int) -> dict[str, Any]:
    """Everything, as JSON holds it."""
    manifest = world(out / "world", people)
    files = face_judges(out / "judges", manifest)
    of: dict[str, list[Path]] = {name: [] for name in SYSTEMS}
    for seed in range(seeds):
        voice = trained(out / f"{VOICE}-{seed}", manifest, VOICE, seed, [])
        loss = [f"judge={files['a']}"]
        of["SF2F"].append(trained(out / f"sf2f-{seed}", manifest, SYSTEMS["SF2F"], seed, loss))
        of["voice2face"].append(
            trained(out / f"voice2face-{seed}", manifest, SYSTEMS["voice2face"], seed, [], start=voice)
        )
        of[SHUFFLED].append(trained(out / f"shuffled-{seed}", shuffled(manifest), SYSTEMS[SHUFFLED], seed, loss))
    report: dict[str, Any] = {"benchmark": "proof", "people": people, "seeds": seeds, "judges": {}}
    report["traits_ceiling"] = ceiling()
    for name in JUDGES:
        judge = judges.load(str(files["b"]) if name == "own-b" else name, CPU)
        found = {system: [scored(run, manifest, judge) for run in runs] for system, runs in of.items()}
        report["judges"][name] = {
            "sha256": judge.sha256,
            "ceilings": ceilings(manifest, judge),
            "recall_10": {system: summary(values) for system, values in found.items()},
            "fused 5 s - single 1.25 s": gain(found["SF2F"], "5 s, fused", found["SF2F"], "1.25 s"),
            "SF2F - voice2face, 5 s": gain(found["SF2F"], "5 s, fused", found["voice2face"], "5 s"),
        }
    report["minutes"] = {
        run.name: json.loads((run / "minutes.json").read_text()) for run in sorted(out.glob("*-[0-9]"))
    }
    return report


def table(report: dict[str, Any]) -> str:
    """Recall@10, in per cent, of everything by every judge."""
    lines = ["| judge | system | hears | of 100 people | of 50 of one gender |", "|---|---|---|---|---|"]
    for judge, told in report["judges"].items():
        for name, known in told["ceilings"].items():
            shares = [f"{known[kind]:.0%}" if kind in known else "" for kind in GALLERIES]
            lines.append(f"| {judge} | ceiling: {name.replace('_', ' ')} | | {' | '.join(shares)} |")
        rows = [(system, way, row) for system, ways in told["recall_10"].items() for way, row in ways.items()]
        rows += [(name, "", told[name]) for name in told if " - " in name]
        for system, way, row in rows:
            shares = [_percent(row[kind]) for kind in GALLERIES]
            lines.append(f"| {judge} | {system} | {way} | {' | '.join(shares)} |")
    return "\n".join([*lines, "| | chance | | 10% | 20% |"])


def _percent(one: Figure) -> str:
    low, high = one["interval"]
    return f"{100 * one['mean']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of worlds, judges and runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = prove(options.out, options.people, options.seeds)
    print(json.dumps(report))
    print(table(report))


if __name__ == "__main__":
    main()
