"""What each resource of Databricks uses in a month: DBUs, its own unit of account."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.config import StackConfig
from infra.prices.aws import HOURS, Counter, Use, Volume
from infra.prices.planned import Resource

__all__ = ["USES"]

# Of what is kept ready for one served model, by its size: one for each request at once, of the smallest number.
DBU_AN_HOUR = {"Small": 4.0, "Medium": 8.0, "Large": 16.0}


def _endpoint(resource: Resource, _config: StackConfig, volume: Volume) -> Iterator[Use]:
    for entity in resource.inputs["config"]["servedEntities"]:
        sleeps = entity.get("scaleToZeroEnabled") is True
        hours = volume["serving_hours"] if sleeps else HOURS
        yield Use("serving-dbu", hours * DBU_AN_HOUR[entity["workloadSize"]], always=not sleeps)


def _job(resource: Resource, config: StackConfig, volume: Volume) -> Iterator[Use]:
    """A job that only starts another is counted with that one."""
    hours = {
        "train": volume["trainings"] * volume["hours_a_training"],
        "score": volume["scoring_hours"],
        "monitor": HOURS / config.environment.monitors_every_h * volume["minutes_a_monitoring"] / 60,
    }
    for task in resource.inputs["tasks"]:
        does = _task(task)
        if does in hours:
            yield Use("jobs-dbu", hours[does] * volume["dbu_an_hour"], always=does == "monitor")


def _task(task: Mapping[str, Any]) -> str:
    return str((task.get("pythonWheelTask") or {"namedParameters": {}})["namedParameters"].get("task", ""))


USES: Mapping[str, Counter] = {
    "index/job:Job": _job,
    "index/modelServing:ModelServing": _endpoint,
}
