"""Exceptions that a user can act on; each knows the exit code its command ends with."""


class HqvoxError(Exception):
    """Something a user can act on: what was found, what was expected, what to do."""

    exit_code = 1


class UsageError(HqvoxError):
    """Wrong arguments or settings (exit code 2)."""

    exit_code = 2


class DataError(HqvoxError):
    """A broken table, or more failures than the budget allows (exit code 3)."""

    exit_code = 3


class Missing(HqvoxError):
    """Something absent that a named command provides: weights, an extra, an upstream table (exit code 4)."""

    exit_code = 4
