"""The errors that people read: a sentence that says what is wrong, where, and what to do."""

__all__ = ["InputRefused", "MlopsError", "ReleaseRefused", "TrackingUnreachable"]


class MlopsError(Exception):
    """Something a person can mend; the command line prints the message alone and exits with `exit_code`."""

    exit_code = 1


class InputRefused(MlopsError):
    """A file, a row or an option is not what it must be; nothing was written."""

    exit_code = 2


class ReleaseRefused(MlopsError):
    """A gate, a digest, a signature or an approval stands in the way of a release."""

    exit_code = 3


class TrackingUnreachable(MlopsError):
    """The MLflow server doesn't answer."""
