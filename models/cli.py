"""The `models` command: a thin wrapper, one function per verb; torch waits until a verb needs it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from manifests.command import Group, exit_codes
from manifests.errors import UsageError

if TYPE_CHECKING:
    import torch

    from models.evaluate import Protocol
    from models.face_net import Half
    from models.reproduction.entry import Budget
    from models.setup import Options

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_PATH = click.Path(path_type=Path)
_COUNT = click.IntRange(min=0)
_DECAY = click.FloatRange(0, 1, max_open=True)
_SEED = click.IntRange(min=0, max=2**63 - 1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hq-vox")
def main() -> None:
    """Train voice-to-face systems on a manifest, score them, make faces with them.

    Exit codes: 0 done; 1 a defect of ours; 2 usage or settings; 3 data; 4 something missing that a named command
    provides.
    """


_device = click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Default: a GPU where there is one.")
_manifest = click.option("--manifest", type=_FILE, required=True, help="hq_voxceleb.parquet, beside its shards.")


def _chosen(device: str | None) -> "torch.device":
    import torch

    from models.heap import keep_freed_memory

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no GPU here; leave the option out, or say --device cpu")
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if chosen.type == "cpu":
        keep_freed_memory()
    return chosen


@main.command("list")
@exit_codes
def list_experiments() -> None:
    """Every experiment: what it reproduces, where its settings come from, millions of parameters."""
    from models.experiments import EXPERIMENTS, parameters

    for one in EXPERIMENTS:
        sizes = "  ".join(f"{name} {count:,}" for name, count in parameters(one).items())
        click.echo(f"{one.name:<26} {one.reproduces}  [{one.source}]\n{'':<26} {sizes}")


def _training(command: F) -> F:
    """The options of the verbs that train."""
    options = (
        _manifest,
        click.option("--out", type=_FOLDER, required=True, help="Folder of the run; an existing one is gone on with."),
        _device,
        click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change a setting; repeatable."),
        click.option("--seed", type=_SEED, default=0, show_default=True),
        click.option("--until", metavar="PHASE", help="Train no further than this phase."),
        click.option("--start", type=_PATH, help="Run or checkpoint whose networks to begin with, by name."),
        click.option("--save-every", type=_COUNT, default=500, show_default=True, help="Iterations; 0: at phase ends."),
        click.option("--validate-every", type=_COUNT, default=1000, show_default=True, help="Iterations; 0: never."),
        click.option("--validation-judge", metavar="JUDGE", help="Face network of validation; default: the loss's."),
        click.option("--report-every", type=_COUNT, default=50, show_default=True, help="Iterations."),
        click.option(
            "--average",
            type=_DECAY,
            default=0.0,
            help="Decay of averaged weights, which are a second copy of all networks; 0: none.",
        ),
        click.option("--kept-gb", type=float, default=4.0, show_default=True, help="Of real faces' states, kept."),
        click.option("--max-skipped", type=_COUNT, default=20, show_default=True, help="Iterations not finite."),
        click.option("--autocast/--no-autocast", default=True, help="bfloat16 on a GPU.", show_default=True),
        click.option("--compile/--no-compile", default=True, help="torch.compile on a GPU.", show_default=True),
        click.option("--track", "trackers", multiple=True, type=click.Choice(["tensorboard", "dvclive"])),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _train(
    experiment: str, out: Path, manifest: Path, assignments: tuple[str, ...], options: "Options", system: str = ""
) -> None:
    """Train an experiment, of one system if that is named."""
    from models.config import assigned
    from models.experiments import EXPERIMENTS, find
    from models.train import train

    one = find(experiment)
    if system not in ("", one.system):
        valid = ", ".join(each.name for each in EXPERIMENTS if each.system == system)
        raise UsageError(f"--experiment {experiment} is of system {one.system}: expected one of {valid}")
    click.echo(train(out, manifest, one, assigned(one.settings, assignments, experiment), options))


def _options(device: str | None, kept_gb: float, given: dict[str, Any]) -> "Options":
    from models.setup import Options

    if not 0 <= kept_gb < math.inf:
        raise UsageError(f"--kept-gb {kept_gb}: expected 0 or more")
    return Options(device=_chosen(device), kept_bytes=round(kept_gb * 2**30), **given)


@main.command()
@click.option("--experiment", required=True, metavar="NAME", help="As `models list` names it.")
@_training
@exit_codes
def train(
    experiment: str, manifest: Path, out: Path, device: str | None, assignments: tuple[str, ...], kept_gb: float,
    **given: Any,
) -> None:  # fmt: skip
    """Train an experiment; the same command goes on where a stopped run was.

    Under torchrun, several processes share each batch; torchrun itself ends with 1 and names their exit codes.
    """
    _train(experiment, out, manifest, assignments, _options(device, kept_gb, given))


@main.command("pretrain-voice")
@click.option("--experiment", default="speaker", show_default=True, metavar="NAME", help="speaker or speaker-small.")
@_training
@exit_codes
def pretrain_voice(
    experiment: str, manifest: Path, out: Path, device: str | None, assignments: tuple[str, ...], kept_gb: float,
    **given: Any,
) -> None:  # fmt: skip
    """Train the speaker encoder that voice2face freezes; then `models train --start` its folder."""
    _train(experiment, out, manifest, assignments, _options(device, kept_gb, given), system="speaker")


@main.command("pretrain-face")
@_manifest
@click.option("--out", type=_FILE, required=True, help="The .safetensors file to write; then a judge by its path.")
@click.option("--half", type=click.Choice(["a", "b"]), required=True, help="Of the training people.")
@click.option("--front-end", default="sf2f", show_default=True, help="A profile that the manifest has mels of.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change a setting; repeatable.")
@_device
@exit_codes
def pretrain_face(
    manifest: Path, out: Path, half: "Half", front_end: str, assignments: tuple[str, ...], device: str | None
) -> None:
    """Train our own face network on one half of the training people: one half's in the loss, the other's to judge."""
    from models.config import assigned
    from models.pretrain_face import Settings, train

    def say(text: str) -> None:
        click.echo(text, err=True)

    click.echo(
        train(out, manifest, half, assigned(Settings(), assignments, "pretrain-face"), _chosen(device), front_end, say)
    )


def _reproducing(manifest_required: bool) -> Callable[[F], F]:
    """The options of the verbs that train and score what experiment ids name."""
    options = (
        click.option(
            "--manifest", type=_FILE, required=manifest_required, help="hq_voxceleb.parquet, beside its shards."
        ),
        click.option("--out", type=_FOLDER, required=manifest_required, help="Folder of runs, results and figures."),
        click.option("--budget", type=click.Choice(["smoke", "small", "full"]), default="small", show_default=True),
        click.option("--raw", type=_FILE, help="Manifest of the same people by params/filtered_vggface.yaml."),
        click.option("--people", type=_FILE, help="CSV of identity_id and age in years, ethnicity, or both."),
        click.option("--judge", metavar="JUDGE", help="Face network that scores; default: dlib at full, else our own."),
        click.option("--seed", type=_SEED, default=0, show_default=True),
        _device,
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@main.command()
@click.option("--checkpoint", type=_PATH, required=True, help="A checkpoint, or the folder of a run (its last one).")
@_manifest
@click.option("--split", default="test", show_default=True, type=click.Choice(["train", "val", "test"]))
@click.option("--judge", metavar="JUDGE", help="Face network that scores: dlib, facenet, or a file of pretrain-face.")
@click.option("--protocol", default="default", show_default=True, type=click.Choice(["default", "authors"]))
@click.option("--runs", type=click.IntRange(min=1), help="Draws of the voices (default 10), of impostors (default 5).")
@click.option("--seed", type=_SEED, default=0, show_default=True)
@click.option("--out", type=_FOLDER, help="Default: the checkpoint's folder.")
@_device
@exit_codes
def evaluate(
    checkpoint: Path, manifest: Path, split: str, judge: str | None, protocol: "Protocol", runs: int | None, seed: int,
    out: Path | None, device: str | None,
) -> None:  # fmt: skip
    """Score a checkpoint on people it never saw: JSON, a table beside the paper's, a contact sheet of faces it makes.

    A system that matches voices and faces is scored by its matching; a judge scores only generated faces.
    """
    from models import evaluate as scoring
    from models import judges, matching
    from models.matching_scores import Plan
    from models.state import load_model

    chosen = _chosen(device)
    model = load_model(checkpoint, chosen)
    folder = out or (checkpoint if checkpoint.is_dir() else checkpoint.parent)
    asked: dict[str, Any] = {"split": split, "seed": seed} | ({"runs": runs} if runs else {})
    paths: list[Path] = []
    if model.system.GENERATES or not model.system.MATCHES:
        plan = scoring.Plan(protocol=protocol, **asked)
        network = judges.load(judge or scoring.default_judge(model, protocol), chosen)
        found = scoring.evaluate(model, manifest, network, plan, folder.parent / "packed")
        paths += scoring.write(folder, *found, plan)
    if model.system.MATCHES:
        choosing = Plan(**asked)
        report = matching.evaluate(model, manifest, choosing, folder.parent / "packed", chosen)
        paths += matching.write(folder, report, choosing)
    for path in paths:
        if path.suffix == ".md":
            click.echo(path.read_text(encoding="utf-8"))
    for path in paths:
        click.echo(path)


def _reports(run: Path) -> list[Path]:
    return [*sorted(run.glob("evaluation-*.json")), *sorted(run.glob("matching-*.json"))]


@main.command()
@click.argument("runs", nargs=-1, type=_PATH)
@click.option("--all", "everything", is_flag=True, help="Train and score every generator, instead of RUNS.")
@_reproducing(manifest_required=False)
@exit_codes
def compare(runs: tuple[Path, ...], everything: bool, manifest: Path | None, out: Path | None, **given: Any) -> None:
    """Print evaluations side by side; RUNS are folders of runs, or the JSON files in them.

    Numbers of different judges, data or protocols stand in different tables. --all is experiment id E-ALL-01: every
    generator trained on one manifest and scored by one judge, with --manifest and --out.
    """
    from manifests.errors import Missing
    from models import tables

    if everything:
        if runs or manifest is None or out is None:
            raise UsageError("compare --all takes --manifest and --out, and no RUNS")
        _reproduce(("E-ALL-01",), manifest, out, **given)
        return
    if manifest is not None or out is not None or not runs:
        raise UsageError("name RUNS to compare, or --all with --manifest and --out")
    files = [file for run in runs for file in (_reports(run) if run.is_dir() else [run])]
    if not files:
        raise Missing(f"no evaluation in {', '.join(map(str, runs))}: `models evaluate --checkpoint RUN` makes one")
    click.echo(tables.markdown([tables.read(file) for file in files]))


@main.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@_reproducing(manifest_required=True)
@exit_codes
def reproduce(ids: tuple[str, ...], manifest: Path, out: Path, **given: Any) -> None:
    """Reproduce tables and figures of the papers by id (E-SF2F-03 …, or all): ours beside theirs, with verdicts.

    Trains what is missing into --out, where ids share runs. A verdict is about the ordering of two lines: ours agrees,
    disagrees, or the gap lies within the interval; without intervals it is not decided. An id that fails does not stop
    the others; the exit code is then that of the worst, 4 where nothing could be measured for want of something.
    """
    _reproduce(ids, manifest, out, **given)


def _reproduce(
    ids: tuple[str, ...], manifest: Path, out: Path, budget: "Budget", raw: Path | None, people: Path | None,
    judge: str | None, seed: int, device: str | None,
) -> None:  # fmt: skip
    from models import reproduce as reproducing
    from models.reproduction.lab import Lab
    from models.reproduction.people import read

    def say(text: str) -> None:
        click.echo(text, err=True)

    lab = Lab(manifest, out, budget, _chosen(device), raw, judge, seed, say, read(people) if people else {})
    results = []
    for result in reproducing.reproduce(ids, lab):
        click.echo(result.text)
        results.append(result)
    click.echo(reproducing.summary(results))
    if error := reproducing.failure(results):
        raise error


@main.command()
@click.argument("recordings", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--checkpoint", type=_PATH, required=True, help="A checkpoint, or the folder of a run (its last one).")
@click.option("--out", type=_FOLDER, required=True, help="A folder per recording is made in it.")
@_device
@exit_codes
def generate(recordings: tuple[Path, ...], checkpoint: Path, out: Path, device: str | None) -> None:
    """Make faces for recordings of any format: one per window of 1.25 s, and one for all of it."""
    from manifests.errors import DataError
    from models import generate as making
    from models.state import load_model

    chosen = _chosen(device)
    failed = []
    for path, made in making.generate(load_model(checkpoint, chosen), recordings, out, chosen):
        if isinstance(made, DataError):
            failed.append(str(made))
        else:
            click.echo(f"{path.name!r}: {made}")
    if failed:
        raise DataError("\n".join([f"{len(failed)} of {len(recordings)} recordings gave no face:", *failed]))


@main.command()
@click.option("--checkpoint", type=_PATH, required=True, help="A checkpoint, or the folder of a run (its last one).")
@click.option("--onnx", type=_FILE, required=True, help="The file to write.")
@exit_codes
def export(checkpoint: Path, onnx: Path) -> None:
    """Write a trained system as ONNX, log-mel or waveform in, face out, checked against torch."""
    from models import export as exporting
    from models.state import load_model

    worst = exporting.export(load_model(checkpoint, _chosen("cpu")), onnx)
    click.echo(f"{onnx}: differs from torch by at most {worst:.1e}")


@main.command()
@click.option("--checkpoint", type=_PATH, required=True, help="A checkpoint, or the folder of a run (its last one).")
@_manifest
@click.option("--batches", type=click.IntRange(min=1), default=20, show_default=True, help="That are looked at.")
@_device
@exit_codes
def balance(checkpoint: Path, manifest: Path, batches: int, device: str | None) -> None:
    """Print how strongly each term of a voice's loss pulls, and weights that make them pull alike.

    For systems that learn to say face features, after 1,000 iterations or so.
    """
    from models import balance as balancing
    from models.state import load_model

    chosen = _chosen(device)
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    found = balancing.measure(load_model(checkpoint, chosen), manifest, folder.parent / "packed", batches, chosen)
    click.echo(f"{'term':<16}{'gradient':>12}{'weight':>12}{'proposed':>12}")
    for name, one in found.items():
        click.echo(f"{name:<16}{one.norm:>12.4g}{one.weight:>12.4g}{one.proposed:>12.4g}")


@main.command()
@click.option("--experiment", default="sf2f-64", show_default=True, metavar="NAME", help="As `models list` names it.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change a setting; repeatable.")
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True, help="Iterations that are timed.")
@click.option("--autocast/--no-autocast", default=True, help="bfloat16 on a GPU.", show_default=True)
@click.option("--compile/--no-compile", "compiled", default=True, help="torch.compile on a GPU.", show_default=True)
@_device
@exit_codes
def bench(
    experiment: str, assignments: tuple[str, ...], steps: int, autocast: bool, compiled: bool, device: str | None
) -> None:
    """Print how fast an experiment trains here: step time, samples/s, share of the device's rate, peak memory."""
    import json

    from models import bench as timing
    from models.config import assigned
    from models.experiments import find
    from models.setup import Options

    one = find(experiment)
    options = Options(device=_chosen(device), autocast=autocast, compile=compiled)
    measured = timing.measure(one, assigned(one.settings, assignments, experiment), options, timing.Plan(steps=steps))
    click.echo(json.dumps(measured))


if __name__ == "__main__":
    main()
