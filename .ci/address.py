"""Move the course to another repository: rewrite its address wherever a reader meets it.

Usage: python address.py [OWNER/NAME or its address] [--branch BRANCH]      (make address REPO=owner/name)

The address is urls.Repository in pyproject.toml. Badges for Colab and Binder, set-up cells, README, assignments (their
source and the students' copies) and the website's pages repeat it, and follow it here: all of them or none, and in each
file nothing else. Without an address, what disagrees with pyproject.toml is listed.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Where a reader meets the address. Code (a test sees to it) reads it from pyproject.toml instead.
PLACES = ("*.toml", "*.md", "*.yml", "*.cff", "data/*.md", "notebooks/**/*.ipynb", "notebooks/**/*.md", "docs/**/*.md")
PLACES += ("docs/**/*.rst", "benchmarks/**/*.md", ".github/**/*.yml", ".github/**/*.md")
LEFT_OUT = {".ipynb_checkpoints", "_build"}


class AddressError(Exception):
    """An address that cannot be, or a file that cannot be rewritten, in words for the person who asked."""


@dataclass(frozen=True)
class Address:
    """A repository on GitHub, the one host that both Colab and Binder open notebooks from.

    repository : str         "owner/name"
    branch     : str         the one that badges open
    """

    repository: str
    branch: str = "main"

    def __str__(self) -> str:
        return f"https://github.com/{self.repository}" + ("" if self.branch == "main" else f"/tree/{self.branch}")

    @property
    def name(self) -> str:
        return self.repository.partition("/")[2]

    def written(self, form: str) -> str:
        """How one of FORMS writes this address."""
        other = self.branch != "main"
        at, option = (f"@{self.branch}", f"-b {self.branch} ") if other else ("", "")
        return form.format(whole=self, repository=self.repository, branch=self.branch, at=at, option=option)


# Each says all that it can: the longest comes first, the bare address last.
FORMS = {
    "stated": 'Repository = "{whole}"',  # in pyproject.toml
    "Colab badge": "colab.research.google.com/github/{repository}/blob/{branch}/",
    "Binder badge": "mybinder.org/v2/gh/{repository}/{branch}?",
    "pip": "git+https://github.com/{repository}{at}",
    "clone": "git clone {option}https://github.com/{repository}",
    "file": "https://github.com/{repository}/blob/{branch}/",
    "folder": "https://github.com/{repository}/tree/{branch}",
    "address": "https://github.com/{repository}",
}
END = r"(?![\w-]|\.(?!git\b)\w)"  # so that owner/name is not taken for the start of owner/name-2 or owner/name.js
INTO = r"(?P<gap>(?:\.git)?(?:\n[ \t]*|\\n\",\s*\")cd )"  # git clone's next line, as it is, or as a line of a notebook
ANY = {
    "Colab badge": r"colab\.research\.google\.com/github/[^/\s]+/[^/\s]+/blob/[^/\s]+/",
    "Binder badge": r"mybinder\.org/v2/gh/[^/\s]+/[^/\s]+/[^?\s]+\?",
    "pip": r"aetutor(?:\[[\w,]*\])? @ (git\+https://[^\s\"'`\\]+)",
    "clone": r"git clone [^\n\\`]*https://[^\s\\`]+",
}


def parse(text: str, branch: str | None = None) -> Address:
    """The address that somebody typed: owner/name, or as a browser or git shows it.

    raises : AddressError  if it is none on GitHub, or the branch is none that a badge can name
    """
    pattern = r"(?:(?:https?://)?(?:www\.)?github\.com/|(?:ssh://)?git@github\.com[:/])?"
    pattern += r"([A-Za-z0-9][A-Za-z0-9-]*)/([\w.-]+?)(?:\.git)?(?:/tree/([^?#\s]+?))?/?"
    found = re.fullmatch(pattern, text.strip(), re.ASCII)
    if not found or set(found[2]) == {"."}:
        raise AddressError(
            f"{text!r} is no repository on GitHub; expected OWNER/NAME, such as jane/autoencoders, or "
            "https://github.com/OWNER/NAME. (Colab opens notebooks from GitHub only.)"
        )
    branch = branch or found[3] or "main"
    if not re.fullmatch(r"\w[\w.-]*", branch, re.ASCII):
        raise AddressError(
            f"a badge cannot name the branch {branch!r}; expected letters, digits, dots, - and _. Rename the branch."
        )
    return Address(f"{found[1]}/{found[2]}", branch)


def here(root: Path = ROOT) -> Address:
    """The address that pyproject.toml states."""
    return parse(tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"])


def places(root: Path = ROOT) -> list[Path]:
    """Every file in which a reader may meet the address; pyproject.toml comes last."""
    found = {path for pattern in PLACES for path in root.glob(pattern) if not LEFT_OUT & set(path.parts)}
    last = root / "pyproject.toml"
    return [*sorted(found - {last}), last]


def rewritten(text: str, old: Address, new: Address) -> str:
    """Text with every form of the old address in the new one's, and nothing else changed."""
    ends = ["" if form[-1] in '/?"' else END for form in FORMS.values()]
    written = [re.escape(old.written(form)) for form in FORMS.values()]
    forms = "|".join(f"(?P<f{i}>{form}{end})" for i, (form, end) in enumerate(zip(written, ends, strict=True)))

    def replace(match: re.Match) -> str:
        form = list(FORMS.values())[int(match.lastgroup.removeprefix("f"))]
        return new.written(form)

    # A clone's next line goes into the folder that it makes, so it is taken along.
    clone = re.escape(old.written(FORMS["clone"])) + INTO + re.escape(old.name) + r"(?![\w.-])"
    text = re.sub(clone, lambda m: f"{old.written(FORMS['clone'])}{m['gap']}{new.name}", text)
    return re.sub(forms, replace, text)


def checksums_renewed(before: str, after: str) -> str:
    """A student copy's text with nbgrader's checksums of those locked cells that changed."""
    try:
        from nbformat import from_dict
        from nbgrader.utils import compute_checksum
    except ImportError as error:
        raise AddressError(f"students' copies carry checksums of nbgrader's, and {error}: call make address") from error

    for old, new in zip(json.loads(before)["cells"], json.loads(after)["cells"], strict=True):
        checksum = new["metadata"].get("nbgrader", {}).get("checksum")
        if checksum and old["source"] != new["source"]:
            cell = from_dict(new | {"source": "".join(new["source"])})
            after = after.replace(f'"{checksum}"', f'"{compute_checksum(cell)}"')
    return after


def move(new: Address, root: Path = ROOT) -> list[Path]:
    """Rewrite all places. Returns the files that changed.

    raises : AddressError  if one cannot be read or written; then all are as they were
    """
    old = here(root)
    changed: dict[Path, tuple[bytes, bytes]] = {}
    for path in places(root):
        try:
            before = path.read_bytes().decode("utf-8")  # as bytes, so that line ends stay
        except (OSError, UnicodeDecodeError) as error:
            raise AddressError(f"{path.relative_to(root)} cannot be read: {error}; nothing was changed") from error
        after = rewritten(before, old, new)
        if after != before and path.suffix == ".ipynb" and '"checksum"' in before:
            after = checksums_renewed(before, after)
        if after != before:
            changed[path] = before.encode(), after.encode()
    replace(changed, root)
    return list(changed)


def replace(changed: dict[Path, tuple[bytes, bytes]], root: Path) -> None:
    """Give each file its second content, all or none. Interrupted by a power cut, the same command goes on: what says
    which address is the old one, pyproject.toml, is replaced last.
    """
    ready: dict[Path, str] = {}
    done: list[Path] = []
    try:
        for path, (_, after) in changed.items():
            handle, ready[path] = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(after)
            os.chmod(ready[path], path.stat().st_mode)
        for path, temporary in ready.items():
            os.replace(temporary, path)
            done.append(path)
    except BaseException as error:
        for path in done:
            path.write_bytes(changed[path][0])
        if isinstance(error, OSError):
            raise AddressError(f"{error}; nothing was changed") from error
        raise
    finally:
        for temporary in ready.values():
            Path(temporary).unlink(missing_ok=True)


def disagreements(root: Path = ROOT) -> list[str]:
    """Badges, set-up cells and clone commands that lead elsewhere than pyproject.toml says, one sentence each."""
    address, found = here(root), []
    for path in places(root):
        text = path.read_text("utf-8")
        for kind, pattern in ANY.items():
            for match in re.finditer(pattern, text):
                said = match[match.lastindex or 0]
                if not re.match(re.escape(address.written(FORMS[kind])) + r"(\.git)?(?![\w@-])", f"{said} "):
                    found.append(f"{path.relative_to(root)}: {said} does not lead to {address}")
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", nargs="?", help="OWNER/NAME on GitHub, or its address; without it, look only")
    parser.add_argument("--branch", help="the branch that badges and set-up cells take (default: main)")
    given = parser.parse_args(arguments)
    try:
        if not given.repository:
            found = disagreements()
            print("\n".join(found) or f"All {len(places())} files agree with pyproject.toml: {here()}")
            return 1 if found else 0
        new = parse(given.repository, given.branch)
        changed = move(new)
    except AddressError as error:
        print(f"address: {error}", file=sys.stderr)
        return 1
    print(f"{len(changed)} files now lead to {new}" if changed else f"All files lead to {new} already")
    return 0


if __name__ == "__main__":
    sys.exit(main())
