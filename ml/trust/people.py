"""Who somebody is, as names of keys and manifests give it: one person may be written in several ways."""

import os
import re
import shutil
import subprocess
import unicodedata
from getpass import getuser
from typing import Final

__all__ = ["NAME_PATTERN", "current_name", "is_same_person", "key_name"]

NAME_PATTERN: Final = r"[a-z0-9][a-z0-9._@+-]{0,99}"
NAME_VARIABLE: Final = "MLOPS_SIGN_AS"


def current_name() -> str:
    """Whose key this process signs with: MLOPS_SIGN_AS, else git's user.email, else the account's name."""
    if given := os.environ.get(NAME_VARIABLE):
        return given
    git = shutil.which("git")
    asked = git and subprocess.run([git, "config", "user.email"], capture_output=True, text=True, check=False)
    return key_name((asked and asked.stdout.strip()) or getuser())


def key_name(person: str) -> str:
    """The name that a person's key has: lower case, and only what a file's name may hold."""
    return re.sub(r"[^a-z0-9._@+-]+", "-", person.strip().lower()).lstrip("._@+-")[:100] or "unknown"


def is_same_person(one: str, other: str) -> bool:
    """Whether two names may be one person's: in another case or script's letters, as ada+laptop@corp.eu, or as ada.

    Says yes rather too often: it keeps authors from approving their own work.
    """
    (name, domain), (other_name, other_domain) = _parts(one), _parts(other)
    return name == other_name and (domain == other_domain or not domain or not other_domain)


def _parts(person: str) -> tuple[str, str]:
    """The part before the @ without its tag, and the part behind it."""
    name, _, domain = key_name(unicodedata.normalize("NFKC", person)).partition("@")
    return name.partition("+")[0], domain.rstrip(".")  # a domain may be written with the root's dot
