"""params.yaml into frozen dataclasses; unknown keys and wrong types are errors, all reported together."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from manifests import storage
from manifests.errors import UsageError
from manifests.settings import Count, NotNegative, Positive, Section, Share, build
from pipeline.stage import Paths


@dataclass(frozen=True, slots=True)
class Run:
    """Settings of the runner itself (`run` in params.yaml)."""

    buckets: Positive = 8  # shards per table; a person's rows share one
    workers: Count = 0  # processes; 0 = one per core
    max_failed: Share = 0.001  # share of a stage's rows that may fail by a defect before the run ends with exit code 3
    max_row_s: NotNegative = 120.0  # seconds that a row may take before its worker is ended; 0 = any


@dataclass(frozen=True, slots=True)
class Params:
    """A whole params file: where, how, and one section per stage."""

    paths: Paths
    run: Run
    stages: dict[str, dict[str, Any]]

    def section(self, stage: str) -> dict[str, Any]:
        """A stage's section; empty where the file has none, so that defaults apply."""
        return self.stages.get(stage, {})


def load(path: Path, stages: tuple[str, ...]) -> Params:
    """Read a params file. Raises UsageError with every fault found."""
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError as error:
        raise UsageError(f"no settings file {path}; name one with --params") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected sections such as `crawl:`, found {type(raw).__name__}")
    known = ("paths", "run", *stages)
    unknown = sorted(str(name) for name in raw if name not in known)
    if unknown:
        raise UsageError(f"{path}: unknown section {', '.join(unknown)}; valid: {', '.join(known)}")
    sections = {name: raw.get(name) or {} for name in known}
    not_maps = [name for name, section in sections.items() if not isinstance(section, dict)]
    if not_maps:
        raise UsageError(f"{path}: {', '.join(not_maps)} must hold `key: value` lines")
    return Params(
        _paths(sections["paths"]),
        build(Run, sections["run"], "run"),
        {name: sections[name] for name in stages},
    )


def _paths(section: Section) -> Paths:
    """Where a run reads and writes; only `data` may be a URL."""
    paths = build(Paths, section, "paths")
    remote = sorted(name for name, text in section.items() if name != "data" and "://" in text)
    if remote:
        raise UsageError(f"paths: {', '.join(remote)} must be a folder of this machine; only `data` may be a URL")
    return replace(paths, data=storage.place(section["data"])) if "data" in section else paths


def split(section: Section, types: tuple[type[Any], ...], where: str) -> tuple[Any, ...]:
    """One flat section into several dataclasses, each taking the keys it knows."""
    valid = {f.name for kind in types for f in fields(kind)}
    unknown = sorted(set(map(str, section)) - valid)
    if unknown:
        raise UsageError(f"{where}: unknown key {', '.join(unknown)}; valid: {', '.join(sorted(valid))}")
    return tuple(
        build(kind, {f.name: section[f.name] for f in fields(kind) if f.name in section}, where) for kind in types
    )
