"""The host that `make preview` has the engine connect to: what a program says through it, and how it ends."""

import subprocess
import sys
import time

import psutil
import pytest

from pipelines._sandbox import Sandbox
from pipelines.preview import program_of
from tests.inputs import SHIPPED


def test_it_runs_the_program_and_a_refusal_is_the_programs_own_sentence(project: Sandbox) -> None:
    stack = "local-test"
    project.add_stack(stack)
    with program_of("local", "process", project.environment) as program:
        assert "to create" in project.pulumi("preview", "--stack", stack, "--client", program())
    project.configure(stack, {"mlops:colour": "blue"})
    with program_of("local", "process", project.environment) as program:
        output = project.pulumi("preview", "--stack", stack, "--client", program(), fails=True)
    assert "mlops:colour is not a known key" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("target", ["local-process", *SHIPPED])
def test_what_a_program_uses_is_loaded_before_it_runs(target: str) -> None:
    """Each service of an SDK that the modules name, in a process of its own: none by a name that it doesn't have."""
    loads = f"from infra.engine.warm_host import load; load(*{target.split('-')!r})"
    names = "import sys; print([name for name in sys.modules if name.startswith('pulumi_')])"
    found = subprocess.run([sys.executable, "-c", f"{loads}; {names}"], capture_output=True, text=True, check=True)
    if target == "aws-sagemaker":
        assert "pulumi_aws.sagemaker.endpoint'" in found.stdout


def test_what_cannot_be_loaded_is_left_to_the_run(project: Sandbox) -> None:
    stack = "local-prod"
    project.add_stack(stack)
    with program_of("local", "mainframe", project.environment) as program:
        assert "to create" in project.pulumi("preview", "--stack", stack, "--client", program())


def test_it_ends_with_whoever_started_it(project: Sandbox) -> None:
    starts = (
        "import os; from pipelines.preview import program_of\n"
        "with program_of('local', 'process', os.environ) as program: print(program()); input()"
    )
    with psutil.Popen([sys.executable, "-c", starts], env=project.environment, stdin=-1, stdout=-1) as parent:
        assert parent.stdout.readline()
        (host,) = parent.children()
        parent.kill()
    deadline = time.monotonic() + 10
    while host.is_running() and host.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it outlives its parent"
        time.sleep(0.05)
