"""What the documents say exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.__main__ import COMMANDS, main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")
TREE = re.compile(r"## Tree\n+```\n(.*?)\n```", re.DOTALL)


def test_the_readme_names_every_command_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = set(re.findall(r"^ {4}([a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert len(shown) == len(COMMANDS)
    assert set(re.findall(r"^\| `stoker ([a-z-]+)", README, re.MULTILINE)) == shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist(document: Path) -> None:
    known = {name.replace("_", "-") for name in COMMANDS}
    code = "\n".join(re.findall(r"`+[^`]+`+", document.read_text()))
    assert set(re.findall(r"(?:^|[`\s/])stoker ([a-z][a-z-]+)(?![\w/.])", code)) <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    targets = [link for link in LINK.findall(document.read_text()) if "://" not in link]
    missing = [link for link in targets if not (document.parent / link).exists()]
    assert not missing


def test_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert (
        {"run", "test"} <= set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE)) <= targets
    )


def test_the_tree_names_every_module() -> None:
    """Each `name.py` of the tree stands below the directories that lead to it."""
    found = TREE.search((ROOT / "docs/architecture.md").read_text())
    assert found
    named, above = set(), {}
    for line in found.group(1).splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        above[depth] = name
        if name.endswith(".py"):
            named.add("".join(above[level] for level in range(depth)) + name)
    modules = {
        str(path.relative_to(ROOT))
        for root in ("agent", "drivers")
        for path in (ROOT / root).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert named == modules
