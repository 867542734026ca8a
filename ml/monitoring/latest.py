"""Where the newest monitoring report stands, and what of it fits on a page: read without the libraries that made it."""

from dataclasses import dataclass
from typing import Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ml.errors import MlopsError
from ml.store import Store

__all__ = ["LATEST", "LATEST_METRICS", "PREFIX", "Latest", "Outline", "Section", "read_latest"]

PREFIX: Final = "monitoring"
LATEST: Final = f"{PREFIX}/latest.json"
LATEST_METRICS: Final = f"{PREFIX}/latest.prom"


class Section(BaseModel):
    """One check: whether it alerts, whether there was enough to judge by, and why."""

    alert: bool
    judged: bool
    summary: str


class Outline(BaseModel):
    """The verdicts of a report; the JSON holds more."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    page: str = Field(pattern=rf"^{PREFIX}/[0-9TZ.]+\.html$")
    alert: bool
    release: str
    rows: int
    labels: int
    quality: Section
    drift: Section
    performance: Section
    fairness: Section

    @property
    def sections(self) -> dict[str, Section]:
        """The checks by name, in the report's order."""
        return {
            "Data quality": self.quality,
            "Drift": self.drift,
            "Performance": self.performance,
            "Fairness": self.fairness,
        }


@dataclass(frozen=True)
class Latest:
    """The newest report as it stands in the store: its JSON, the outline of it, its page and its metrics."""

    data: bytes
    outline: Outline
    page: bytes
    metrics: bytes

    @classmethod
    def of(cls, store: Store, data: bytes) -> Self:
        """Read what belongs to the JSON `data`; MlopsError for one that another version wrote."""
        try:
            outline = Outline.model_validate_json(data)
        except ValidationError as error:
            raise MlopsError(
                f"{store.url(LATEST)} is no monitoring report of this version: {error.errors()[0]['msg']}. "
                "Run `mlops monitor run`."
            ) from error
        return cls(data, outline, store.read(outline.page), store.read(LATEST_METRICS))


def read_latest(store: Store, known: Latest | None = None) -> Latest | None:
    """The newest report, None before the first; `known` itself as long as it is the newest."""
    try:
        data = store.read(LATEST)
        return known if known is not None and known.data == data else Latest.of(store, data)
    except FileNotFoundError:
        return None
