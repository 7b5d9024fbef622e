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


def served_folder(settings: Settings) -> Served | None:
    """The folder that a crawl serves to itself; the demo world is made if it is absent."""
    if settings.source == "demo":
        from pipeline.world import demo

        demo.make_world(
            settings.demo_folder, people=settings.demo_people, seed=settings.demo_seed, workers=engine.cores()
        )
        return Served(demo.HOST, settings.demo_folder)
    return photos(settings)


def photos(settings: Settings) -> Served | None:
    """`crawl.serve_folder`, where there is one."""
    return Served(PHOTOS_HOST, settings.serve_folder) if settings.serve_folder else None


@contextmanager
def reachable(served: Served | None) -> Iterator[Mapping[str, tuple[str, int]]]:
    """Where the host of a served folder really is, for as long as it is served."""
    if served is None:
        yield {}
        return
    from pipeline.world import web

    with web.serve(served.folder) as address:
        yield {served.host: address}
