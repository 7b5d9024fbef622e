"""Folders of this machine that a crawl serves to itself on loopback, each under a host name of its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline import engine
from pipeline.crawl import sources
from pipeline.crawl.settings import Settings

PHOTOS_HOST = "photos.test"  # under which `serve_folder` is served; .test never resolves outside (RFC 6761)


@dataclass(frozen=True, slots=True)
class Served:
    """A folder, and the host that serves it."""

    host: str
    folder: Path

    def file_of(self, url: str) -> Path | None:
        """The file behind an address."""
        return sources.file_of(self.folder, url.removeprefix(f"http://{self.host}/"))


def made(settings: Settings) -> Served | None:
    """The folder that a crawl serves to itself; the demo world is made if it is absent."""
    if settings.source == "demo":
        from pipeline.world import demo

        demo.make_world(
            settings.demo_folder, people=settings.demo_people, seed=settings.demo_seed, workers=engine.cores()
        )
    return served(settings)


def served(settings: Settings) -> Served | None:
    """The same, as it is; None where strangers' servers are asked, or files are read directly."""
    if settings.source == "demo":
        from pipeline.world import demo

        return Served(demo.HOST, settings.demo_folder)
    return Served(PHOTOS_HOST, settings.serve_folder) if settings.serve_folder else None


@contextmanager
def reachable(folder: Served | None) -> Iterator[Mapping[str, tuple[str, int]]]:
    """Where the host of a served folder really is, for as long as it is served."""
    if folder is None:
        yield {}
        return
    from pipeline.world import web

    with web.serve(folder.folder) as address:
        yield {folder.host: address}
