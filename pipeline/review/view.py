"""What all export formats of a batch have in common: how it is shown, and the words that go with it."""

from dataclasses import dataclass
from datetime import date

MARK = "Faces of real people: do not redistribute"


@dataclass(frozen=True, slots=True)
class View:
    """How a batch is shown."""

    dataset: str  # 12 hexadecimal digits of the digest of the tasks table
    least: int  # pictures wanted of each person
    most: int
    blind: bool = False  # nothing of what the machine thinks
    expires: date | None = None  # last day on which the batch may be used
    files_prefix: str = "/data/local-files/?d="  # Label Studio: what goes before <batch>/pictures/<name>.jpg

    @property
    def last_day(self) -> str | None:
        """The expiry as ISO 8601."""
        return self.expires.isoformat() if self.expires else None
