"""What a CI system's token must say to be believed: exactly one pipeline's subject, never a pattern."""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.config import StackConfig

__all__ = ["CiTrust", "trusts"]

GITLAB_BRANCH = "main"  # GitLab's tokens name no environment; a protected branch is as near as they come


@dataclass(frozen=True)
class CiTrust:
    """An issuer (without https://), whom its tokens must be meant for, and on whose behalf."""

    name: str
    host: str
    audience: str
    subject: str


def trusts(config: StackConfig) -> Iterator[CiTrust]:
    """One for each CI system that the stack's configuration names."""
    ci = config.ci
    if ci.github:
        subject = f"repo:{ci.github}:environment:{config.environment.name}"
        yield CiTrust("ci-github", "token.actions.githubusercontent.com", "sts.amazonaws.com", subject)
    if ci.gitlab:
        subject = f"project_path:{ci.gitlab}:ref_type:branch:ref:{GITLAB_BRANCH}"
        yield CiTrust("ci-gitlab", "gitlab.com", "https://gitlab.com", subject)
    if devops := ci.azure_devops:
        host = f"vstoken.dev.azure.com/{devops.organization_id}"
        subject = f"sc://{devops.organization}/{devops.project}/{devops.service_connection}"
        yield CiTrust("ci-azure-devops", host, "api://AzureADTokenExchange", subject)
