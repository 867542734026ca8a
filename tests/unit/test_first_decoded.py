"""Types that several threads may meet first at once, which ended the process with a segmentation fault."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THREADED = ("infra/simulation", "ml/serving/protocols", "ml/release")
FIRST = """
import sys, threading
from infra.simulation.api.compiled import contract_of
from infra.simulation.rules import rule_for
from infra.simulation.schema.cache import resource_schema
sys.setswitchinterval(1e-6)
tokens = [f"aws:{t}" for t in sys.argv[2:]]
together = threading.Barrier(len(tokens))
def ask(token):
    together.wait()
    assert globals()[sys.argv[1]](token)
threads = [threading.Thread(target=ask, args=(token,)) for token in tokens]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
TYPES = ["iam/role:Role", "ec2/vpc:Vpc", "kms/key:Key", "sagemaker/model:Model", "ecr/repository:Repository"]


@pytest.mark.parametrize("asked", ["rule_for", "resource_schema", "contract_of"])
def test_a_simulated_cloud_takes_its_first_requests_at_once(asked: str) -> None:
    for _ in range(6):
        words = [sys.executable, "-c", FIRST, asked, *TYPES]
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == 0, ended.stderr
        assert "Exception in thread" not in ended.stderr


@pytest.mark.parametrize("asked", ["resource_schema", "contract_of"])
def test_the_first_requests_of_a_new_user_find_no_cache_and_fill_it_together(asked: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", FIRST, asked, *TYPES * 3]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    ended = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "Exception in thread" not in ended.stderr
    assert len(list(tmp_path.rglob("*.json"))) >= len(TYPES)
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".json"], "half-written files"


def test_what_threads_read_is_decoded_by_what_was_made_before_them() -> None:
    """`decode(…, type=T)` learns what T is at its first call; a `Decoder(T)` of a module does when it is loaded."""
    files = [file for folder in THREADED for file in sorted((ROOT / folder).rglob("*.py"))]
    assert files
    late = [f"{file}:{call.lineno}" for file in files for call in typed_decodes(file)]
    assert late == []


def typed_decodes(file: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "decode":
            types = [ast.unparse(word.value) for word in node.keywords if word.arg == "type"]
            if any("msgspec.Raw" not in type_ for type_ in types):  # Raw is no class with fields
                yield node
