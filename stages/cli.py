"""The `pipeline` command: a thin wrapper, one function per verb; heavy imports wait until a verb needs them."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from manifests.command import Group, exit_codes
from manifests.errors import HqvoxError, UsageError
from stages import STAGES, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.engine import Executor
    from pipeline.recordings import Layout
    from pipeline.review.export import Exported
    from pipeline.settings import Params

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FRACTION = click.FloatRange(0.0, 0.9)
_SOURCES = ("urls", "folder", "people", "commons", "openverse", "google")
_OUTCOMES = ("failed_transient", "failed_permanent", "rejected", "blocked_robots", "opted_out", "removed")


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
    named = click.get_current_context().get_parameter_source("scheduler") is ParameterSource.COMMANDLINE
    if named and executor not in (None, "dask"):
        raise UsageError(f"--scheduler names a Dask cluster, --executor {executor} does not use one: leave one out")
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
                _withdraw_batches(params)
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


def _withdraw_batches(params: "Params") -> None:
    """Delete the batches that show somebody who is gone, perhaps by their own request."""
    from pipeline.review import folders

    withdrawn = folders.withdraw_gone(params.paths.data)
    if withdrawn:
        click.echo(
            f"withdrawn, since they show pictures that are gone: {', '.join(withdrawn)}; what was decided in them can "
            "still be imported; run `pipeline review-export` for new ones",
            err=True,
        )


def _print_review_step(reasons: dict[str, int]) -> None:
    from stages.review import next_step

    step = next_step(reasons)
    if step:
        click.echo(step)


def _print_summary(reports: Path) -> None:
    from stages.stats import read_stats, summary_text

    click.echo(summary_text(read_stats(reports)))


@main.command()
@_params
@click.option("--source", type=click.Choice(_SOURCES), help="Where addresses come from; default: as the settings say.")
@click.option("--list", "listed", type=click.Path(path_type=Path), help="The URL list, or the folder of the source.")
@click.option("--per-identity", type=click.IntRange(min=1), help="Pictures of one person at most.")
@click.option("--contact", help="Web page or mail address for the User-Agent.")
@click.option("--dry-run", is_flag=True, help="Print the plan: requests to each host, time at the polite rate, disk.")
@click.option("--retry", multiple=True, type=click.Choice(_OUTCOMES), help="Ask again where this came out.")
@click.option("--host", help="With --retry or --refresh: only at this host and its subdomains.")
@click.option("--refresh", is_flag=True, help="Ask whether kept pictures have changed, and count how.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that write shards; default: one per core.")
@exit_codes
def crawl(
    params_file: Path,
    source: str | None,
    listed: Path | None,
    per_identity: int | None,
    contact: str | None,
    dry_run: bool,
    retry: tuple[str, ...],
    host: str | None,
    refresh: bool,
    workers: int | None,
) -> None:
    """Crawl, or plan a crawl, or ask again for what failed or may have changed.

    The options replace settings of the file for this run; `pipeline run crawl` is the same without them.
    """
    if host and not retry and not refresh:
        raise UsageError("--host says where to ask again: give --retry or --refresh with it")
    from pipeline import engine, settings

    engine.pin_threads()
    params = settings.load(params_file, STAGES)
    from stages import crawl_command

    section = crawl_command.overridden(params.section("crawl"), source, listed, per_identity, contact)
    params.stages["crawl"] = section
    again = crawl_command.asked_again(retry, host, refresh)
    if dry_run:
        click.echo(crawl_command.plan_text(params, again))
    else:
        crawl_command.run(params, again, workers)


@main.command()
@click.option("--people", type=click.IntRange(min=1), default=12, show_default=True, help="People to draw.")
@click.option("--photos", type=click.IntRange(min=1), default=None, help="Photographs of each; default: as drawn.")
@click.option("--clips", type=click.IntRange(min=0), default=None, help="Recordings of each; default: as drawn.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed makes the same bytes.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one per core.")
@click.option(
    "--manifest", is_flag=True, help="Write a finished manifest (aligned, white, voiced), without the filters."
)
@click.option("--raw", is_flag=True, help="With --manifest: faces in any pose, light and mood, on their own ground.")
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
    raw: bool,
    val: float,
    test: float,
    out: Path,
) -> None:
    """Draw a synthetic world: people with photographs, voices, planted defects and the truth about them."""
    from pipeline import engine

    if raw and not manifest:
        raise UsageError("--raw is of --manifest; a world of web pictures holds all kinds anyway")
    engine.pin_threads()
    processes = workers or engine.cores()
    if manifest:
        from pipeline.world.manifest import Recipe, write_manifest

        numbers = {"faces_per_person": photos, "clips_per_person": clips}
        chosen = {name: n for name, n in numbers.items() if n is not None}
        recipe = Recipe(people, seed, val_fraction=val, test_fraction=test, raw=raw, **chosen)
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
    from pipeline.terminal import counted

    texts = [path.read_text(encoding="utf-8", errors="replace") for path in utterances]
    listed = {name for text in texts for name in audio.read_utterances(text)}
    check = audio.compare(find(root, layout), load(metadata), listed, empty_folders(root))
    click.echo(audio.table(check))
    if not check.complete:
        raise DataError(
            f"{counted(len(check.missing_speakers), 'speaker')} and "
            f"{counted(len(check.missing_utterances), 'utterance')} missing in {root}"
        )


@main.command("review-export")
@_params
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "label-studio", "fiftyone", "csv"]),
    default="html",
    show_default=True,
    help="html: a page per batch that opens from disk.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Pictures in a batch, of 500 people at most; nobody is split.",
)
@click.option("--reviewers", default="reviewer", show_default=True, metavar="NAME,...", help="Who shares the work.")
@click.option(
    "--overlap",
    type=click.FloatRange(0.0, 1.0),
    default=0.1,
    show_default=True,
    help="Share of people that two reviewers see, unknown to them; nobody where there is one reviewer.",
)
@click.option(
    "--gold",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Pictures in each batch whose answer is known, from gold.jsonl in the review folder.",
)
@click.option("--blind", is_flag=True, help="Show no suggestions and no scores, pictures in random order.")
@click.option("--anonymous", is_flag=True, help="Show no names, ids and addresses.")
@click.option(
    "--expires", type=click.IntRange(1, 36500), metavar="DAYS", help="Days from today that batches may be used."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is random: the same seed, the same.")
@click.option(
    "--files-prefix",
    default="/data/local-files/?d=",
    show_default=True,
    help="Label Studio: what goes before <batch>/pictures/<name>.jpg; a folder below its root, or a web address.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: `run.workers`, else one per core.")
@click.option("--out", type=_FOLDER, help="Folder for the batches; default: review_batches in the data folder.")
@exit_codes
def review_export(
    params_file: Path,
    form: str,
    batch_size: int,
    reviewers: str,
    overlap: float,
    gold: int,
    blind: bool,
    anonymous: bool,
    expires: int | None,
    seed: int,
    files_prefix: str,
    workers: int | None,
    out: Path | None,
) -> None:
    """Write what waits for a person's decision as batches to give to reviewers; a folder each.

    The same command writes the same bytes, and goes on where it was interrupted. review_tasks.parquet, beside the
    batches, has names and known answers: it stays with you. What the export before left in the folder is deleted.
    """
    from datetime import date, timedelta

    from pipeline import engine, settings

    engine.pin_threads()
    from manifests.settings import build
    from pipeline.review import decisions, export, folders
    from pipeline.review.batches import Options
    from pipeline.review.gold import FILE, read
    from pipeline.review.people import Wanted
    from stages.review import Settings

    params = settings.load(params_file, STAGES)
    chosen = build(Settings, params.section("review"), "review")
    folder = out or folders.default(params.paths.data)
    names = tuple(name.strip() for name in reviewers.split(","))
    last_day = date.today() + timedelta(days=expires) if expires else None
    written = export.export(
        params.paths.data,
        folder,
        decisions.read(params.paths.review / decisions.FILE),
        read(params.paths.review / FILE),
        Options(names, batch_size, overlap, gold, seed),
        Wanted(chosen.min_per_person, chosen.max_per_person),
        export.Look(form, blind, anonymous, last_day, files_prefix),
        workers or params.run.workers or engine.cores(),
    )
    _print_batches(written, folder)


def _print_batches(written: "Exported", folder: Path) -> None:
    from pipeline.terminal import counted

    for batch in written.batches:
        pictures = counted(sum(len(person.tasks) for person in batch.people), "picture")
        people = "1 person" if len(batch.people) == 1 else f"{len(batch.people):,} people"
        click.echo(f"{folder / batch.name}: {pictures} of {people}")
    if written.deleted:
        click.echo(f"{counted(written.deleted, 'file')} of an earlier export deleted")
    if not written.batches:
        click.echo("nothing waits for a decision")
        return
    click.echo(
        f"{counted(written.pictures, 'picture')} in {len(written.batches):,} batch"
        f"{'' if len(written.batches) == 1 else 'es'}, {written.asked - written.pictures:,} seen by two reviewers, "
        f"{written.gold:,} with a known answer"
    )


@main.command("review-import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_params
@exit_codes
def review_import(files: tuple[Path, ...], params_file: Path) -> None:
    """Add what reviewers send back to decisions.jsonl in the review folder; each decision once.

    FILES: what the page downloads (.jsonl), a Label Studio export (JSON), the samples.json of a FiftyOne dataset, or
    the filled-in CSV. Exit code 3 where a file is broken (then nothing is added), or where decisions were refused
    since their pictures have changed or are gone (then the others are added).
    """
    from manifests.errors import DataError
    from pipeline import settings
    from pipeline.review import imports
    from pipeline.terminal import counted

    paths = settings.load(params_file, STAGES).paths
    found = imports.import_files(files, paths.data, paths.review)
    for line in imports.report(found, files):
        click.echo(line)
    if found.checked.refused:
        raise DataError(f"{counted(found.checked.refused, 'decision')} refused, see above; all others are in")


@main.command("review-status")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@_params
@exit_codes
def review_status(form: str, params_file: Path) -> None:
    """Who did what and how fast, how far reviewers agree, who drifts, what is open, who ends with too few pictures."""
    import json

    from manifests.settings import build
    from pipeline import settings
    from pipeline.review import status, status_text
    from pipeline.review.people import Wanted
    from stages.review import Settings

    params = settings.load(params_file, STAGES)
    chosen = build(Settings, params.section("review"), "review")
    wanted = Wanted(chosen.min_per_person, chosen.max_per_person)
    found = status.read(params.paths.data, params.paths.review, wanted)
    if form == "json":
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    click.echo(status_text.text(found, wanted))
    click.echo(status_text.next_step(found))


@main.command("review-serve")
@click.argument("folder", type=_FOLDER, required=False)
@click.option("--reviewers", default="", metavar="NAME,...", help="Who gets a link; default: those of the batches.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any free one.")
@_params
@exit_codes
def review_serve(folder: Path | None, reviewers: str, port: int, params_file: Path) -> None:
    """Serve exported batches to browsers on this machine; several reviewers share one queue.

    FOLDER is what `review-export` wrote (default: review_batches in the data folder). Every decision goes straight to
    decisions.jsonl in the review folder. Each reviewer gets a link of their own; Ctrl+C ends it, nothing is lost.
    """
    from pipeline import settings
    from pipeline.review import batches, decisions, folders, server

    params = settings.load(params_file, STAGES)
    names = tuple(name.strip() for name in reviewers.split(",") if name.strip())
    if names:
        batches.Options(names)  # the same rules for names as in an export
    file = params.paths.review / decisions.FILE
    server.serve(folder or folders.default(params.paths.data), file, names, port, click.echo)


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
    from pipeline.terminal import counted

    faults = [fault for file in files for fault in validate_file(file)]
    for fault in faults:
        click.echo(clean(str(fault)))
    if faults:
        raise DataError(f"{counted(len(faults), 'fault')} in {counted(len(files), 'file')}")
    click.echo(f"{counted(len(files), 'file')} valid")


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
