"""Ask AWS about a job for as long as it runs: now and then there is no answer, which is no reason to leave it."""

from collections.abc import Callable
from typing import Any, Final

from ml.errors import MlopsError
from ml.following import News, Say
from ml.platforms.aws.client import aws_errors, passes_by_itself
from ml.platforms.aws.logs import JobLog

__all__ = ["Patience"]

LONGEST_SILENCE: Final = 60  # how many times in a row AWS may not answer


class Patience:
    """`goes_on` is what to say of the job when AWS refuses, or has not answered for too long."""

    def __init__(self, progress: Say, show: Say, goes_on: str) -> None:
        self.news = News(progress)
        self._progress, self._show, self._goes_on = progress, show, goes_on
        self._unanswered = 0

    def ask(self, operation: Callable[..., dict[str, Any]], **what: Any) -> dict[str, Any] | None:
        """The answer, or None for now."""
        try:
            answer = operation(**what)
        except aws_errors() as error:
            self._bear(error)
            return None
        self._unanswered = 0
        return answer

    def read(self, log: JobLog | None, show: Say | None = None) -> int | None:
        """Show the lines that have come; how many, None when AWS doesn't answer now. A log may be refused for good."""
        shown = 0
        try:
            for line in log.new_lines() if log else ():
                (show or self._show)(line)
                shown += 1
        except aws_errors() as error:
            if passes_by_itself(error):
                self._bear(error)
                return None
            self.news.say("log", f"The job's log can't be read, which changes nothing for the job: {error}")
        return shown

    def _bear(self, error: Exception) -> None:
        self._unanswered += 1
        if not passes_by_itself(error) or self._unanswered >= LONGEST_SILENCE:
            raise MlopsError(f"{error} {self._goes_on}") from error
        self._progress(f"AWS does not answer now, and is asked again: {error}")
