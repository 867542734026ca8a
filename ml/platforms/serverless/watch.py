"""The monitor as a scheduled AWS Lambda function: it reports, and submits a training when the triggers ask for one."""

from datetime import UTC, datetime
from typing import Any

from ml.errors import InputRefused
from ml.feedback.requests import ask
from ml.feedback.retrain import judge
from ml.monitoring.run import monitor_once
from ml.platforms.serverless import jobs as batch
from ml.platforms.serverless.training import job_name
from ml.predictions import PREFIX
from ml.problem import Problem, load_problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.reason import REASON

__all__ = ["handler", "watch"]


def handler(_event: Any, _context: Any) -> dict[str, Any]:
    """What the Lambda runtime calls; what the schedule sends says nothing that is needed."""
    return watch(load_problem(), Runtime.load(), datetime.now(UTC))


def watch(problem: Problem, runtime: Runtime, now: datetime) -> dict[str, Any]:
    """Look at the log up to `now`: what was found, and the ARN of the job that was submitted, None without one.

    Nothing is submitted while a training is under way, or sooner after the last one than the problem allows.
    """
    if not (runtime.job_queue and runtime.training_job):
        raise InputRefused(f"The stack {runtime.stack} has no job that trains: there is nothing to submit.")
    store = Store(runtime.store_uri)
    report = monitor_once(store, problem, now, progress=_say) if store.exists(PREFIX) else None
    verdict = judge(problem, runtime, now)[0]
    job, name = None, job_name(runtime.stack)
    if verdict.is_due and not batch.is_under_way(runtime.job_queue, name):
        because = ",".join(trigger.kind for trigger in verdict.triggers if trigger.holds)
        job = batch.submit(
            runtime.job_queue, runtime.training_job, name, variables={REASON: because}, tags={"stack": runtime.stack}
        )
        ask(store, verdict, now)
    return {
        "report": store.url(f"{report.key}.html") if report else None,
        "is_due": verdict.is_due,
        "because": [trigger.says for trigger in verdict.triggers if trigger.holds],
        "but": list(verdict.hindrances),
        "job": job,
    }


def _say(line: str) -> None:
    print(line, flush=True)  # into the function's log
