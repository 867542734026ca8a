"""Pinning changes one line of a stack file and not another byte of it."""

import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml.errors import InputRefused, ReleaseRefused
from ml.release.stackfile import drop_salt, pin, pinned, stack_file, unpin
from ml.trust.checkout import project_root

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"

scalars = st.sampled_from(["x", "'quoted: #'", '"dou\\tble"', "42", "true", "null", "~", "é😀", "[a, b]", "{a: b}", ""])
comments = st.sampled_from(["", " # why", "   #x", " # mlops:release: no"])
nested = st.sampled_from(
    [
        "",
        "\n      a: 1\n      b:\n        - 2\n",
        "\n    - a\n    - b",
        " |\n      text\n      # no comment\n",
        " >-\n      folded\n",
    ]
)
blank = st.sampled_from(["", "\n", "# between\n", "  # indented\n", "\n\n"])


@st.composite
def entries(draw: st.DrawFn) -> list[str]:
    lines: list[str] = []
    for number in range(draw(st.integers(1, 4))):
        block = draw(nested)
        value = block or f" {draw(scalars)}{draw(comments)}"
        lines.append(f"{draw(blank)}    mlops:key{number}:{value}".rstrip("\n") + "\n")
    return lines


@st.composite
def stack_files(draw: st.DrawFn) -> tuple[str, int]:
    """A file without a pin, and where in it a line of `config` may be put."""
    head = draw(st.sampled_from(["", "# head\n", "---\n", "secretsprovider: passphrase\n", "\ufeff"]))
    body = draw(entries())
    at = draw(st.integers(0, len(body)))
    tail = draw(st.sampled_from(["", "encryptionsalt: v1:abc=\n", "# tail", "\n\n", "environment:\n  - x # y\n"]))
    before = f"{head}config:{draw(comments)}\n{''.join(body[:at])}"
    return before + "".join(body[at:]) + tail, len(before)


def write(file: Path, text: str, newline: str) -> bytes:
    data = text.replace("\n", newline).encode()
    file.write_bytes(data)
    return data


@settings(deadline=None)  # other work on the machine is no failure
@given(stack_files(), st.sampled_from(["\n", "\r\n"]), comments)
@example(("config:\n    mlops:key0: x", 8), "\n", "")
def test_replacing_a_pin_changes_its_digest_only(
    tmp_path_factory: pytest.TempPathFactory, given_file: tuple[str, int], newline: str, comment: str
) -> None:
    text, at = given_file
    file = tmp_path_factory.mktemp("stack") / "Pulumi.x.yaml"
    before = write(file, f"{text[:at]}    mlops:release: {ONE}{comment}\n{text[at:]}", newline)
    assert pinned(file) == ONE
    pin(file, TWO)
    assert file.read_bytes() == before.replace(ONE.encode(), TWO.encode())
    pin(file, ONE)
    assert file.read_bytes() == before
    unpin(file)
    assert file.read_bytes() == text.replace("\n", newline).encode()
    assert pinned(file) is None


@settings(deadline=None)  # other work on the machine is no failure
@given(stack_files(), st.sampled_from(["\n", "\r\n"]))
def test_a_first_pin_adds_one_line_and_unpinning_takes_it_away(
    tmp_path_factory: pytest.TempPathFactory, given_file: tuple[str, int], newline: str
) -> None:
    file = tmp_path_factory.mktemp("stack") / "Pulumi.x.yaml"
    before = write(file, given_file[0], newline)
    assert pinned(file) is None
    pin(file, ONE)
    after = file.read_bytes()
    line = f"    mlops:release: {ONE}{newline}".encode()
    assert after.count(line) == 1
    ended = before if before.endswith(b"\n") else before + newline.encode()
    assert after.replace(line, b"") in (before, ended)
    assert yaml.safe_load(after)["config"].pop("mlops:release") == ONE
    unpin(file)
    assert file.read_bytes() in (before, ended)


@pytest.mark.parametrize("text", ["", "# nothing\n", "config:\n", "config: {}\n", "config: # soon\n", "a: 1"])
def test_a_file_without_configuration_gets_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(text)
    pin(file, ONE)
    assert pinned(file) == ONE
    assert yaml.safe_load(file.read_text())["config"] == {"mlops:release": ONE}
    for word in ("# nothing", "# soon", "a: 1"):
        assert (word in text) == (word in file.read_text())


@pytest.mark.parametrize(
    "data",
    [
        b"config: {mlops:owner: x}\n",
        b"- a\n",
        b"config: [a]\n",
        b"config: text\n",
        b"config:\n  a: b: c\n",
        b"config:\n  mlops:release: a\n  mlops:release: b\n",
        b"config:\n  mlops:owner: &x y\n  mlops:release: *x\n",
        b"config:\n  mlops:release: |\n    a\n    b\n",
        b"\xff\xfe",
        b"a: 1\n---\nb: 2\n",
    ],
)
def test_a_file_that_is_not_understood_is_refused_and_left_alone(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_bytes(data)
    with pytest.raises(InputRefused, match=str(file)):
        pin(file, ONE)
    assert file.read_bytes() == data
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_salt_of_a_passphrase_goes_and_nothing_else(tmp_path: Path, newline: str) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    write(file, "# why\nencryptionsalt: v1:abc=\nconfig:\n  mlops:owner: 'x' # encryptionsalt: no\n", newline)
    drop_salt(file)
    assert (
        file.read_bytes() == "# why\nconfig:\n  mlops:owner: 'x' # encryptionsalt: no\n".replace("\n", newline).encode()
    )


def test_the_salt_stays_beside_a_secret_which_it_takes_to_read_it(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    before = write(file, "encryptionsalt: v1:abc=\nconfig:\n  mlops:alert_emails:\n    - secure: v1:x\n", "\n")
    drop_salt(file)
    assert file.read_bytes() == before


def test_only_a_digest_is_pinned(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text("config:\n  a: b\n")
    with pytest.raises(ReleaseRefused, match="latest"):
        pin(file, "latest")
    assert file.read_text() == "config:\n  a: b\n"


def test_the_file_keeps_its_permissions_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "Pulumi.x.yaml"
    real.write_text("config:\n  a: b\n")
    real.chmod(0o640)
    link.symlink_to(real)
    pin(link, ONE)
    assert link.is_symlink()
    assert pinned(real) == ONE
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_the_project_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: x\nstackConfigDir: stacks\n")
    (tmp_path / "stacks" / "deep").mkdir(parents=True)
    file = tmp_path / "stacks" / "Pulumi.local-dev.yaml"
    file.touch()
    assert project_root(tmp_path / "stacks" / "deep") == tmp_path
    assert stack_file("local-dev", tmp_path) == file
    with pytest.raises(InputRefused, match="has no file"):
        stack_file("local-test", tmp_path)
    for name in ("../x", "", "a/b", ".hidden"):
        with pytest.raises(InputRefused, match="no stack's name"):
            stack_file(name, tmp_path)
    with pytest.raises(InputRefused, match=r"no Pulumi\.yaml"):
        project_root(Path("/"))
