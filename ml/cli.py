"""The console script `mlops`: which command lives where, and how errors end it."""

import importlib

import click

from ml.edge import sentences
from ml.plugins import plugins
from ml.trust.checkout import require_own_checkout

__all__ = ["main"]

# Imported only when a command runs: `mlops --help` must answer at once.
COMMANDS = {
    "data": "ml.data.command:data",
    "train": "ml.training.command:train",
    "release": "ml.release.command:release",
    "promote": "ml.release.lifecycle_command:promote",
    "approve": "ml.release.lifecycle_command:approve",
    "rollback": "ml.release.lifecycle_command:rollback",
    "retire": "ml.release.lifecycle_command:retire",
    "releases": "ml.release.lifecycle_command:releases",
    "verify": "ml.release.lifecycle_command:verify",
    "hand-over": "ml.release.hand_over_command:hand_over",
    "ledger": "ml.release.ledger_command:ledger",
    "keys": "ml.trust.keys_command:keys",
    "predict": "ml.serving.command:predict",
    "serve": "ml.serving.command:serve",
    "serve-keys": "ml.access.command:serve_keys",
    "score": "ml.scoring.command:score",
    "monitor": "ml.monitoring.command:monitor",
    "replay": "ml.monitoring.replay_command:replay",
    "labels": "ml.feedback.labels_command:labels",
    "review": "ml.feedback.review_command:review",
    "retrain": "ml.feedback.retrain_command:retrain",
    "document": "ml.governance.document_command:document",
    "erase": "ml.governance.privacy_command:erase",
    "subject-export": "ml.governance.privacy_command:subject_export",
    "retention": "ml.governance.privacy_command:retention",
}
SUMMARIES = {
    "data": "Check data files and write a report that a person can read.",
    "train": "Train, compare and evaluate the candidates; log everything to MLflow.",
    "release": "Gate the best candidate, bundle it, and pin its digest in the stack file.",
    "promote": "Bring a release to the next environment: copied, verified, checked there, recorded, pinned.",
    "approve": "Let a release be deployed; its author can't.",
    "rollback": "Pin the release that served before.",
    "retire": "Take a release out of use for good.",
    "releases": "What runs where since when.",
    "verify": "Verify every signature, digest and chain link of an environment.",
    "hand-over": "Bring a release into the registry of models that its platform serves from.",
    "ledger": "Set a ledger right after a key was stolen or entries were lost, on record.",
    "keys": "Make and list the keys that sign releases.",
    "predict": "Ask a running endpoint for a prediction.",
    "serve": "Run the model server.",
    "serve-keys": "Make, list and revoke the API keys of a model server.",
    "score": "Score files of rows in bulk, here or on Spark.",
    "monitor": "Watch the endpoint and its live data: quality, drift, performance, fairness.",
    "replay": "Play a dataset as live traffic.",
    "labels": "Take in labels that arrive late, joined to their predictions.",
    "review": "Let experts confirm or overrule doubtful predictions, on a web page or here.",
    "retrain": "Train a challenger when age, drift, performance or new labels ask for one.",
    "document": "Write or publish a release's model card and data sheet.",
    "erase": "Remove everything held on a person, and prove it.",
    "subject-export": "Write everything held on a person as JSON.",
    "retention": "Delete logs that are older than the environment keeps them.",
}
PLUGINS = "mlops.commands"  # entry point group; infra adds its commands to it
SUMMARY_LENGTH = 100  # click would cut a sentence after 45 characters


class _LazyGroup(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *(plugin.name for plugin in plugins(PLUGINS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if target := COMMANDS.get(cmd_name):
            module, attribute = target.split(":")
            return getattr(importlib.import_module(module), attribute)
        for plugin in plugins(PLUGINS):
            if plugin.name == cmd_name:
                return plugin.load()
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = list(SUMMARIES.items())
        rows += [(plugin.name, plugin.load().get_short_help_str(SUMMARY_LENGTH)) for plugin in plugins(PLUGINS)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mlops-reference", prog_name="mlops")
def mlops() -> None:
    """The life of a model, from data to retirement.

    Exit codes: 0 done, 1 failed, 2 wrong input or usage, 3 a release was refused,
    4 something must still arrive. MLOPS_DEBUG=1 shows an error's traceback.

    Example: mlops train --stack local-dev
    """


def main() -> None:
    """Run the command line; what a person can mend is printed as a sentence, never as a traceback."""
    with sentences("mlops"):
        require_own_checkout()
        mlops()
