"""Names and ids from strangers: cleaned for print, normalised for comparison, and made safe."""

import re
import unicodedata
from hashlib import sha256

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Invisible characters, most of which reorder the text around them: a name must not rewrite its page.
_INVISIBLE = dict.fromkeys(
    [0x061C, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
_ACCENT = re.compile("[\u0300-\u036f]")  # Latin, Greek and Cyrillic accents; vowel signs of other scripts stay


def clean(text: str) -> str:
    """Text that any table and page can hold: composed, without control, direction or half characters, one line."""
    text = unicodedata.normalize("NFC", text).translate(_INVISIBLE)
    kinds = ((character, unicodedata.category(character)) for character in text)
    text = "".join(" " if kind == "Cc" else "\ufffd" if kind == "Cs" else character for character, kind in kinds)
    return " ".join(text.split())


def normalised(name: str) -> str:
    """A name without case, accents and punctuation, so that `Zoe_Saldana` and `Zoë Saldaña` are one."""
    folded = unicodedata.normalize("NFKD", clean(name)).casefold()
    bare = unicodedata.normalize("NFC", _ACCENT.sub("", folded))
    words = "".join(" " if unicodedata.category(c)[0] in "PZS" else c for c in bare)
    return " ".join(words.split())


def safe_id(text: str) -> str:
    """An id that is safe in any place: the text itself where it already is, else its letters and a hash of it."""
    text = text.strip()
    if _SAFE_ID.fullmatch(text):
        return text
    letters = re.sub(r"[^a-z0-9]+", "_", normalised(text))[:40].strip("_") or "person"
    return f"{letters}-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def row_id(identity_id: str, source: str) -> str:
    """Name of a row before any byte of it exists: 128 bits of the hash of identity and source."""
    return sha256(f"{identity_id}\n{source}".encode()).hexdigest()[:32]


def sample_id(identity_id: str, content_sha256: str) -> str:
    """Name of a sample, whatever its place: 128 bits of the hash of identity and content."""
    return sha256(f"{identity_id}\n{content_sha256}".encode()).hexdigest()[:32]
