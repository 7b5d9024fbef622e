"""The `pipeline` command: a thin wrapper, one function per verb; heavy imports wait until a verb needs them."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifests.command import Group, exit_codes
from manifests.errors import HqvoxError, UsageError
from stages import STAGES, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.engine import Executor
    from pipeline.recordings import Layout
    from pipeline.review.contact_sheet import Exported
    from pipeline.settings import Params

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FRACTION = click.FloatRange(0.0, 0.9)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hq-vox")
def main() -> None:
    """Build a face-voice dataset: crawl, filter, align, whiten, review, voices, manifest, statistics.

    Exit codes: 0 done; 1 a defect of ours; 2 usage or settings; 3 data; 4 something missing that a named command
    provides.
    """


_params = click.option(
    "--params", "params_file", type=_FILE, default=Path("params.yaml"), show_default=True, help="Settings file."
)


@main.command()
@click.argument("stages", nargs=-1, metavar="[STAGE]...")
@_params
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: `run.workers`, else one per core.")
@click.option(
    "--executor",
    type=click.Choice(["serial", "processes", "dask"]),
    help="Where shards are done; default: dask where a scheduler is named, else processes.",
)
@click.option(
    "--scheduler", envvar="DASK_SCHEDULER_ADDRESS", show_envvar=True, help="tcp://HOST:PORT of a Dask scheduler."
)
@exit_codes
def run(
    stages: tuple[str, ...], params_file: Path, workers: int | None, executor: str | None, scheduler: str | None
) -> None:
    """Run stages in order; all of them where none is named.

    Finished shards are skipped, so the same command resumes after an interruption.
    """
    names = _named(stages)
    from pipeline import engine

    engine.pin_threads()  # before numpy and torch start threads of their own
    from pipeline import settings

    params = settings.load(params_file, STAGES)
    processes = workers or params.run.workers or engine.cores()
    kind = executor or ("dask" if scheduler else "processes")
    if kind == "processes":
        engine.preload([__name__, *(f"stages.{name}" for name in names)])  # while this process loads them as well
    from pipeline.run import check_settings, run_stage

    chosen = [load(name) for name in names]
    check_settings(chosen, params)
    with _executor(kind, processes, scheduler) as shards_go_to:
        for stage in chosen:
            summary = run_stage(stage, params, shards_go_to)
            if stage.name == "review" and summary is not None:
                _export_sheets(params, params.paths.data / "review_sheets", "reviewer")
                _print_review_step(summary.reasons)
            if stage.name == "stats":
                _print_summary(params.paths.reports)


def _named(stages: tuple[str, ...]) -> list[str]:
    unknown = [name for name in stages if name not in STAGES]
    if unknown:
        raise UsageError(f"no stage {', '.join(unknown)}; valid: {', '.join(STAGES)}")
    return [name for name in STAGES if not stages or name in stages]


@contextmanager
def _executor(kind: str, workers: int, scheduler: str | None) -> "Iterator[Executor]":
    from pipeline import engine

    if kind == "dask":
        from pipeline.cluster import connected

        with connected(scheduler, workers) as cluster:
            yield cluster
    else:
        yield engine.Serial() if kind == "serial" else engine.Processes(workers)


@main.command()
@click.argument("stages", nargs=-1, metavar="[STAGE]...")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@_params
@exit_codes
def plan(stages: tuple[str, ...], as_json: bool, params_file: Path) -> None:
    """Print which shards a run would make and why, without making any."""
    import json
    from dataclasses import asdict

    names = _named(stages)
    from pipeline import settings
    from pipeline.plan import line
    from pipeline.plan import plan as planned
    from pipeline.run import check_settings

    params = settings.load(params_file, STAGES)
    chosen = [load(name) for name in names]
    check_settings(chosen, params)
    plans = planned(chosen, params)
    click.echo(json.dumps([asdict(one) for one in plans], indent=2) if as_json else "\n".join(map(line, plans)))


def _export_sheets(params: "Params", out: Path, reviewer: str) -> "Exported":
    from manifests.settings import build
    from pipeline.review import contact_sheet, decisions
    from stages.review import Settings

    chosen = build(Settings, params.section("review"), "review")
    decided = decisions.read(params.paths.review / decisions.FILE)
    wanted = contact_sheet.Wanted(chosen.min_per_person, chosen.max_per_person, reviewer)
    return contact_sheet.export(params.paths.data, decided, out, wanted)


def _print_review_step(reasons: dict[str, int]) -> None:
    from stages.review import next_step

    step = next_step(reasons)
    if step:
        click.echo(step)


def _print_summary(reports: Path) -> None:
    from stages.stats import read_stats, summary_text

    click.echo(summary_text(read_stats(reports)))


@main.command()
@click.option("--people", type=click.IntRange(min=1), default=12, show_default=True, help="People to draw.")
@click.option("--photos", type=click.IntRange(min=1), default=None, help="Photographs of each; default: as drawn.")
@click.option("--clips", type=click.IntRange(min=0), default=None, help="Recordings of each; default: as drawn.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed makes the same bytes.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one per core.")
@click.option(
    "--manifest", is_flag=True, help="Write a finished manifest (aligned, white, voiced), without the filters."
)
@click.option("--val", type=_FRACTION, default=0.1, show_default=True, help="Share of people, with --manifest.")
@click.option("--test", type=_FRACTION, default=0.1, show_default=True, help="Share of people, with --manifest.")
@click.option("--out", type=_FOLDER, required=True, help="Folder to write to.")
@exit_codes
def demo(
    people: int,
    photos: int | None,
    clips: int | None,
    seed: int,
    workers: int | None,
    manifest: bool,
    val: float,
    test: float,
    out: Path,
) -> None:
    """Draw a synthetic world: people with photographs, voices, planted defects and the truth about them."""
    from pipeline import engine

    engine.pin_threads()
    processes = workers or engine.cores()
    if manifest:
        from pipeline.world.manifest import Recipe, write_manifest

        numbers = {"faces_per_person": photos, "clips_per_person": clips}
        chosen = {name: n for name, n in numbers.items() if n is not None}
        recipe = Recipe(people, seed, val_fraction=val, test_fraction=test, **chosen)
        click.echo(write_manifest(out, recipe, processes))
        return
    from pipeline.world.demo import make_world

    numbers = {"photos_per_person": photos, "clips_per_person": clips}
    make_world(
        out,
        people=people,
        seed=seed,
        workers=processes,
        **{name: n for name, n in numbers.items() if n is not None},
    )


@main.group(cls=Group)
def weights() -> None:
    """Find, fetch and verify the weight files of the networks."""


@weights.command("list")
@exit_codes
def weights_list() -> None:
    """Every registered file: what uses it, its licence, and whether a verified copy is here."""
    from manifests import weights as registry

    for entry in registry.entries():
        status = registry.verify(entry.name)
        click.echo(f"{entry.name:<24} {status.state:<20} {entry.used_by}; {entry.licence}; {entry.restriction}")


@weights.command("fetch")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@exit_codes
def weights_fetch(names: tuple[str, ...]) -> None:
    """Fetch and verify weight files; all of them where none is named."""
    from manifests import weights as registry
    from pipeline.progress import FetchProgress

    progress = FetchProgress()
    failed = []
    for name in names or tuple(entry.name for entry in registry.entries()):
        try:
            click.echo(f"{name}: {registry.fetch(name, progress)}")
        except HqvoxError as error:
            failed.append(error)
    if failed:
        raise type(failed[0])("\n".join(map(str, failed)))


@weights.command("verify")
@exit_codes
def weights_verify() -> None:
    """Check every file that is here against its sha256; exit code 3 where one differs."""
    from manifests import weights as registry
    from manifests.errors import DataError

    states = [registry.verify(entry.name) for entry in registry.entries()]
    for status in states:
        click.echo(f"{status.name:<24} {status.state:<20} {status.detail or status.path}")
    broken = [status for status in states if status.state == "broken"]
    if broken:
        names = " ".join(status.name for status in broken)
        raise DataError(f"{len(broken)} broken files: remove them, then `pipeline weights fetch {names}`")


@weights.command("path")
@click.argument("name")
@exit_codes
def weights_path(name: str) -> None:
    """Print where a verified weight file lies."""
    from manifests import weights as registry

    click.echo(registry.path(name))


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@exit_codes
def identities(files: tuple[Path, ...]) -> None:
    """Count the people of VoxCeleb metadata files, names in several of them merged (the paper counts 7,363)."""
    from pipeline.identities import figures, load

    for name, count in figures(load(files)).items():
        click.echo(f"{name.replace('_', ' '):<24} {count:>6,}")


@main.command("check-audio")
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--metadata", multiple=True, required=True, type=_FILE, help="Who should be there; may be repeated.")
@click.option("--utterances", multiple=True, type=_FILE, help="A VoxCeleb list of utterances; may be repeated.")
@click.option("--layout", type=click.Choice(["auto", "voxceleb", "folder"]), default="auto", show_default=True)
@exit_codes
def check_audio(root: Path, metadata: tuple[Path, ...], utterances: tuple[Path, ...], layout: "Layout") -> None:
    """Compare a folder of recordings with the metadata before days of work; exit code 3 where something is missing."""
    from manifests.errors import DataError
    from pipeline import check_audio as audio
    from pipeline.identities import load
    from pipeline.recordings import empty_folders, find

    texts = [path.read_text(encoding="utf-8", errors="replace") for path in utterances]
    listed = {name for text in texts for name in audio.read_utterances(text)}
    check = audio.compare(find(root, layout), load(metadata), listed, empty_folders(root))
    click.echo(audio.table(check))
    if not check.complete:
        raise DataError(
            f"{_counted(len(check.missing_speakers), 'speaker')} and "
            f"{_counted(len(check.missing_utterances), 'utterance')} missing in {root}"
        )


@main.command("review-export")
@_params
@click.option("--out", type=_FOLDER, help="Folder for the sheets; default: review_sheets in the data folder.")
@click.option("--reviewer", default="reviewer", show_default=True, help="Name written into the prepared decisions.")
@exit_codes
def review_export(params_file: Path, out: Path | None, reviewer: str) -> None:
    """Write a contact sheet per person, to open from disk, with the decisions prepared."""
    from pipeline import settings

    params = settings.load(params_file, STAGES)
    folder = out or params.paths.data / "review_sheets"
    written = _export_sheets(params, folder, reviewer)
    click.echo(
        f"{written.people} people, {written.pictures} pictures, {written.open} undecided: {folder / 'index.html'}"
    )


@main.command()
@click.option("--person", help="An identity_id.")
@click.option("--url", help="An address, or the path of a local file as the `source` column has it.")
@click.option("--sha256", help="Of the source bytes.")
@click.option("--list", "removals", type=_FILE, help="The list; default: `crawl.removals` of the settings file.")
@_params
@exit_codes
def remove(person: str | None, url: str | None, sha256: str | None, removals: Path | None, params_file: Path) -> None:
    """Put somebody or something on the list of what must never come back; then run the pipeline again.

    The list holds salted hashes only. Keep it under version control.
    """
    from manifests.removals import add, matches
    from pipeline import settings

    params = settings.load(params_file, STAGES)
    named = removals or params.section("crawl").get("removals")
    if not named:
        raise UsageError("no removals list: name one with --list, or in `crawl.removals` of the settings file")
    if url and "://" in url:
        url = _canonical(url)
    added = add(Path(named), identity_id=person, source=url, sha256=sha256)
    rows = matches(added, params.paths.data)
    click.echo(f"{named}: {len(added.hashes)} entries; they concern {rows} rows of {params.paths.data}")
    if not rows:
        click.echo(
            "warning: nothing in the tables matches; check the spelling (--person wants the identity_id)", err=True
        )


def _canonical(url: str) -> str:
    from pipeline.crawl.sources import BadAddress, canonical_url

    try:
        return canonical_url(url)
    except BadAddress as error:
        raise UsageError(f"--url {url}: {error}") from error


@main.command("train-segmenter")
@click.option("--out", type=_FILE, required=True, help="The safetensors file to write.")
@click.option("--folder", "folders", multiple=True, type=_FOLDER, help="images/ and masks/, or cutouts_rgba/ ...")
@click.option("--voc", type=_FOLDER, help="VOCdevkit/VOC2012, person class, as in the paper.")
@click.option("--start", type=_FILE, help="Weights to go on from.")
@click.option("--world-people", type=click.IntRange(min=0), default=200, show_default=True, help="Drawn people.")
@click.option("--steps", type=click.IntRange(min=1), default=4000, show_default=True, help="Batches of 16 pictures.")
@click.option(
    "--side", type=click.IntRange(min=96), default=144, show_default=True, help="Pixels of a training square."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--hold-out/--use-all", default=True, show_default=True, help="Keep a third to measure, a sixth to tune.")
@exit_codes
def train_segmenter(
    out: Path,
    folders: tuple[Path, ...],
    voc: Path | None,
    start: Path | None,
    world_people: int,
    steps: int,
    side: int,
    seed: int,
    hold_out: bool,
) -> None:
    """Train the person segmenter; the same command goes on where a killed run stopped."""
    import json

    from pipeline.faces.train_segmenter import TrainSettings, train

    chosen = TrainSettings(
        out,
        folders,
        voc,
        start=start,
        world_people=world_people,
        steps=steps,
        side=side,
        seed=seed,
        keep_third=hold_out,
        keep_validation=hold_out,
    )
    train(chosen, lambda measured: click.echo(json.dumps(measured)))


@main.group(cls=Group)
def bench() -> None:
    """Measure how right the stages are."""


@bench.command()
@click.option(
    "--data", type=_FOLDER, required=True, help="Labelled pictures and recordings, PROVENANCE.csv among them."
)
@click.option("--only", multiple=True, metavar="MEASURE", help="A part of the table; may be repeated.")
@click.option("--format", "form", type=click.Choice(["table", "markdown", "json"]), default="table", show_default=True)
@exit_codes
def accuracy(data: Path, only: tuple[str, ...], form: str) -> None:
    """Measure every stage on real people: figures with intervals, beside what they should be."""
    from pipeline import engine

    engine.pin_threads()
    from rich.console import Console

    from stages.accuracy import MEASURES, listing, measure

    found = []
    for one in measure(data, only or MEASURES):
        found.append(one)
        click.echo(f"{one.stage}: {one.what}", err=True)
    lines = [listing.line(one) for one in found]
    if form == "table":
        Console().print(listing.terminal(lines))
    else:
        click.echo(listing.markdown(lines) if form == "markdown" else listing.as_json(found))


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@exit_codes
def validate(files: tuple[Path, ...]) -> None:
    """Check tables against their schema and the manifest against its shards; all faults at once."""
    from manifests.errors import DataError
    from manifests.validate import validate_file
    from pipeline.names import clean

    faults = [fault for file in files for fault in validate_file(file)]
    for fault in faults:
        click.echo(clean(str(fault)))
    if faults:
        raise DataError(f"{_counted(len(faults), 'fault')} in {_counted(len(files), 'file')}")
    click.echo(f"{_counted(len(files), 'file')} valid")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
@_params
@exit_codes
def stats(as_json: bool, params_file: Path) -> None:
    """Print the statistics of the last run: Table 1, the yield of each stage, where to look next."""
    import json

    from pipeline import settings
    from stages.stats import read_stats, summary_text

    report = read_stats(settings.load(params_file, STAGES).paths.reports)
    click.echo(json.dumps(report, indent=2) if as_json else summary_text(report))


if __name__ == "__main__":
    main()
