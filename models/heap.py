"""The C library's heap: memory that a tensor leaves is kept for the next one.

By default glibc hands blocks above 32 MiB back to the system as they are freed. Getting their pages anew, zeroed, takes
as long as what small networks compute on a CPU.
"""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_MOST = 2**31 - 1  # bytes: an int's


def keep_freed_memory() -> bool:
    """Blocks up to 2 GiB are freed into the heap, which does not shrink. False, and nothing done, without glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, _MOST) == 1 for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))
