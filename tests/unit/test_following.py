"""What following a job bears, and what it says: on clients that answer as AWS does."""

from collections import deque
from collections.abc import Iterator
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from ml.errors import MlopsError
from ml.following import News, failed, wait_for
from ml.platforms.aws.logs import JobLog
from ml.platforms.aws.patience import LONGEST_SILENCE, Patience
from ml.platforms.serverless import jobs as batch

ARN = "arn:aws:batch:eu-west-1:123456789012:job/parent"


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"because of {code}"}}, "Describe")


class Log:
    """A job's log that CloudWatch doesn't give."""

    def __init__(self, code: str) -> None:
        self.code, self.last = code, deque[str]()

    def new_lines(self) -> Iterator[str]:
        yield "a line"
        raise refusal(self.code)


def test_a_thing_is_said_when_it_changes_and_others_do_not_disturb_it() -> None:
    said: list[str] = []
    news = News(said.append)
    for thing, line in (("job", "waits"), ("log", "none"), ("job", "waits"), ("job", "runs"), ("job", "waits")):
        news.say(thing, line)
    assert said == ["waits", "none", "runs", "waits"]


def test_it_is_looked_at_until_it_has_ended() -> None:
    states = iter(["waits", "runs", "ended", "never asked"])
    assert wait_for(lambda: next(states), lambda state: state == "ended", 0) == "ended"
    assert next(states) == "never asked"


def test_an_error_is_one_sentence_with_the_last_lines() -> None:
    assert str(failed("The job failed", "no memory.", ["one", "two"], "the log")) == (
        "The job failed: no memory. Its last lines, of the log:\n  one\n  two"
    )
    assert str(failed("The job failed", "no memory", [])) == "The job failed: no memory."


def test_silence_is_borne_for_a_while_and_an_answer_ends_it() -> None:
    said: list[str] = []
    patience = Patience(said.append, said.append, "It goes on.")

    def throttled() -> dict[str, Any]:
        raise refusal("ThrottlingException")

    for _ in range(LONGEST_SILENCE - 1):
        assert patience.ask(throttled) is None
    assert patience.ask(lambda: {"there": 1}) == {"there": 1}
    for _ in range(LONGEST_SILENCE - 1):
        assert patience.ask(throttled) is None
    assert all("AWS does not answer now" in line for line in said)
    with pytest.raises(MlopsError, match=r"because of ThrottlingException It goes on\."):
        patience.ask(throttled)


def test_a_refusal_is_not_borne() -> None:
    def denied() -> dict[str, Any]:
        raise refusal("AccessDeniedException")

    with pytest.raises(MlopsError, match=r"AccessDeniedException It goes on\."):
        Patience(lambda _: None, lambda _: None, "It goes on.").ask(denied)


@pytest.mark.parametrize(("code", "read"), [("AccessDeniedException", 1), ("ThrottlingException", None)])
def test_a_log_that_is_not_given_ends_nothing(code: str, read: int | None) -> None:
    said, shown = list[str](), list[str]()
    patience = Patience(said.append, shown.append, "It goes on.")
    log = cast(JobLog, Log(code))
    assert [patience.read(log) for _ in range(2)] == [read, read]
    assert shown == ["a line"] * 2
    assert len(said) == (2 if read is None else 1)  # a log that is refused is said to be once


def test_an_array_whose_child_failed_for_good_is_said_to_have_though_its_log_and_listing_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a person who may look at jobs but read no logs."""

    class Batch:
        def __init__(self, *_: str) -> None:
            self.listed = 0

        def describe_jobs(self, jobs: list[str]) -> dict[str, Any]:
            container = {"exitCode": 137, "reason": "OutOfMemoryError: killed.", "logStreamName": "s"}
            container |= {"logConfiguration": {"options": {"awslogs-group": "g"}}}
            array = {"arrayProperties": {"size": 2, "statusSummary": {"FAILED": 1, "SUCCEEDED": 1}}}
            found: Any = array if jobs == ["parent"] else {"container": container, "attempts": [{}] * 4}
            return {"jobs": [{"jobId": jobs[0], "status": "FAILED", **found}]}

        def list_jobs(self, **_: str) -> dict[str, Any]:
            self.listed += 1
            if self.listed == 1:
                raise refusal("TooManyRequestsException")
            return {"jobSummaryList": [{"jobId": "parent:1", "status": "FAILED"}]}

    made = Batch()
    monkeypatch.setattr("ml.platforms.serverless.jobs.POLL_S", 0)
    monkeypatch.setattr("ml.platforms.serverless.jobs.client", lambda *_: made)
    monkeypatch.setattr("ml.platforms.serverless.jobs.JobLog", lambda *_: Log("AccessDeniedException"))
    said: list[str] = []
    with pytest.raises(
        MlopsError, match=r"The job parent:1 failed with exit code 137, at attempt 4: OutOf.*: killed\.$"
    ):
        batch.follow(ARN, said.append, said.append)
    assert said[0] == "The job is FAILED: 1 failed, 1 succeeded"
