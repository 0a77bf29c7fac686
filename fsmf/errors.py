"""Every exception and warning that fsmf raises.

Each error is also the builtin that it specialises, so ``except ValueError`` keeps working, and
``except fsmf.errors.FsmfError`` catches everything that is ours. A message says what was asked,
what was found, and what to do.
"""

__all__ = [
    "ConvergenceWarning",
    "FileFormatError",
    "FsmfError",
    "FsmfWarning",
    "InputError",
    "InputTypeError",
    "NotAttainedWarning",
    "OptionError",
    "PerformanceWarning",
    "RefusedError",
    "ShapeError",
    "SupportError",
]


class FsmfError(Exception):
    """The base of every error raised by fsmf."""


class InputError(FsmfError, ValueError):
    """A matrix cannot be used: NaN, infinities, no entries, a norm that overflows."""


class InputTypeError(FsmfError, TypeError):
    """An argument has a type or a dtype that fsmf does not take."""


class ShapeError(FsmfError, ValueError):
    """Shapes that do not fit together."""


class SupportError(FsmfError, ValueError):
    """A support that is not one: values other than 0 and 1, no rows, indices out of range."""


class OptionError(FsmfError, ValueError):
    """An option has a value that makes no sense."""


class RefusedError(FsmfError, ValueError):
    """The solver asked for, or every solver in the table, refuses these supports."""


class FileFormatError(FsmfError, ValueError):
    """A file is not what fsmf wrote, is damaged, or is from a newer version."""


class FsmfWarning(UserWarning):
    """The base of every warning issued by fsmf."""


class ConvergenceWarning(FsmfWarning):
    """A solver ran out of its budget before it converged."""


class NotAttainedWarning(FsmfWarning):
    """The factors grow while the error falls: the infimum may not be attained."""


class PerformanceWarning(FsmfWarning):
    """What was asked for is right, but costs much more than a close neighbour would."""
