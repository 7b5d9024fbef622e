"""The page that a filterer works on: one HTML file, style, script and batch inside, from disk or `review-serve`."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from manifests.errors import DataError
from pipeline import html
from pipeline.names import clean

STATIC = Path(__file__).with_name("static")
SCHEMA = 1  # of the batch inside a page
_SCRIPTS = (
    "state.js", "store.js", "grid.js", "panel.js", "zoom.js", "files.js", "server.js", "keys.js", "app.js", "main.js",
)  # fmt: skip
_OWN_KEYS = frozenset("krwuxanzyvimsdlfh")  # letters that already mean something: see static/keys.js
_BATCH = re.compile(r'<script type="application/json" id="batch">(.*?)</script>', re.DOTALL)


@lru_cache(maxsize=1)
def _style() -> str:
    return (STATIC / "page.css").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _script() -> str:
    """The scripts as one function: nothing of them is reachable from outside."""
    parts = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _embedded(batch: Mapping[str, Any]) -> str:
    """JSON that no HTML parser can leave: ASCII only, and no `<`, `>` or `&`."""
    text = json.dumps(batch, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def page(batch: Mapping[str, Any], served: bool = False) -> str:
    """The page of a batch; pictures lie beside it, in `pictures/`. `served` lets it talk to `review-serve`.

    Raises ValueError where a reason's key is one of the page's own keys.
    """
    keys = [key for key, _, _ in batch["reasons"]]
    usable = all(len(key) == 1 and key.isalpha() and key not in _OWN_KEYS for key in keys)
    if not usable or len(set(keys)) < len(keys):
        raise ValueError(f"reason keys {keys}: expected different letters, none of {''.join(sorted(_OWN_KEYS))}")
    return html.page(
        STATIC / "page.html",
        {
            "title": f"Review {clean(batch['batch'])}",
            "style": Markup(_style()),  # noqa: S704  our own files
            "script": Markup(_script()),  # noqa: S704
            "batch": Markup(_embedded(batch)),  # noqa: S704  escaped by `_embedded`
            "served": served,
        },
    )


def read(path: Path) -> dict[str, Any]:
    """The batch inside a page that `page` made. Raises DataError where the file holds none."""
    try:
        found = _BATCH.search(path.read_text(encoding="utf-8"))
        batch = json.loads(found[1]) if found else None
    except (ValueError, RecursionError):
        batch = None
    if not isinstance(batch, dict):
        raise DataError(f"{path} holds no whole batch; expected the index.html of `pipeline review-export`")
    if batch.get("schema") != SCHEMA:
        raise DataError(f"{path} holds a batch of schema {batch.get('schema')!r}; expected {SCHEMA}: export it again")
    return batch
