"""The `crawl` section of params.yaml: where addresses come from, and what may not be together."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from manifests.errors import UsageError
from manifests.settings import Count, Positive
from pipeline.crawl import found
from pipeline.crawl.politeness import Politeness
from pipeline.stage import HOW

Source = Literal["demo", "urls", "folder", "people", "commons", "openverse", "google"]


@dataclass(frozen=True, slots=True)
class Settings(Politeness):
    """Where addresses come from; the fields of Politeness are among the keys of the section."""

    source: Source = "demo"
    urls: Path | None = None  # source `urls`: a csv, tsv, jsonl or parquet list with identity_id, url
    serve_folder: Path | None = None  # source `urls`: or a folder <identity>/*, listed and served on loopback
    # of serve_folder: <identity>/* below these only; files directly in one belong to an identity of its name
    serve_only: tuple[str, ...] = ()
    folder: Path | None = None  # source `folder`: <identity>/*, read directly
    people: Path | None = None  # source `people`: a folder of <person>.txt lists, as VGGFace was published
    per_identity: Positive | None = None  # pictures of one person that are asked for at most; searches: 300
    licences: tuple[str, ...] = ()  # source `openverse`: by, by-sa, cc0, pdm, ...; none: all of them
    metadata: tuple[Path, ...] = ()  # who the identities are: VoxCeleb metadata as published, or identity_id,name,...
    demo_folder: Path = Path("demo")  # source `demo`: where the synthetic world is, or will be made
    demo_people: Positive = 12  # people in the synthetic world
    demo_seed: int = 0  # of the synthetic world
    # web page or mail address for the User-Agent; required where strangers' servers are asked
    contact: str = field(default="", metadata={HOW: True})
    threads: Positive = field(default=8, metadata={HOW: True})  # addresses asked for at once, by each process
    processes: Count = field(default=1, metadata={HOW: True})  # that ask; 0 = one per core
    allow_private: bool = False  # connect to private, loopback and link-local addresses too
    removals: Path | None = None  # the salted list of what must never come back

    def __post_init__(self) -> None:
        self._check_source()
        if self.licences and self.source != "openverse":
            raise UsageError("crawl.licences belongs to crawl.source `openverse`")
        if not self.contact.isascii() or not self.contact.isprintable():
            raise UsageError(f"crawl.contact is {self.contact!r}; expected one line of ASCII: it goes into a header")
        if any(Path(part).is_absolute() or ".." in Path(part).parts for part in self.serve_only):
            raise UsageError(f"crawl.serve_only is {self.serve_only}; expected folders below crawl.serve_folder")
        if self.asks_strangers and not self.contact.strip():
            raise UsageError(
                "crawl.contact is empty: give a web page or mail address that tells strangers' servers who is asking, "
                "and how to reach you"
            )

    def _check_source(self) -> None:
        if (self.source == "folder") != (self.folder is not None):
            raise UsageError("crawl.folder (of <identity>/*) and crawl.source `folder` belong together: set both")
        if (self.source == "people") != (self.people is not None):
            raise UsageError("crawl.people (of <person>.txt) and crawl.source `people` belong together: set both")
        if self.source != "urls" and (self.urls or self.serve_folder):
            raise UsageError("crawl.urls and crawl.serve_folder belong to crawl.source `urls`")
        if self.source == "urls" and (self.urls is None) == (self.serve_folder is None):
            raise UsageError("crawl.source is `urls`: set either crawl.urls (a list) or crawl.serve_folder (a folder)")

    @property
    def searched(self) -> int:
        """Pictures of one person that a search is asked for; 300, as the paper crawled, where nothing is said."""
        return self.per_identity or 300

    @property
    def asks_strangers(self) -> bool:
        """Whether servers that are not ours are asked."""
        return self.urls is not None or self.source in ("people", *found.PER_REQUEST)
