"""The jobs, told of their stack by a file in the store."""

import pulumi

from infra.clouds.aws._account import settings
from infra.clouds.aws._runtime import runtime
from infra.clouds.databricks import jobs

__all__ = ["Jobs"]


class Jobs(jobs.Jobs):
    """What scores and watches is told which release is pinned."""

    def _runtime(self) -> pulumi.Output[str]:
        args = self._args
        return runtime(self, self._name, args.foundation, args.tracking, args.config.release)

    def _region(self) -> str:
        return settings(self._args.config).region
