"""What the documents say is so: settings, targets, processes, queries and migrations."""

import re
from pathlib import Path

from jobs.core.database import SQL, load_queries
from jobs.core.settings import Settings
from jobs.launcher.demo import read_demo_book
from service.app import ROUTES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
CODE = "\n".join(path.read_text() for folder in ("jobs", "service") for path in (ROOT / folder).rglob("*.py"))


def test_readme_and_env_example_list_every_setting_and_no_other() -> None:
    settings = {name.upper() for name in Settings.model_fields}
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)`", table, re.M)) == settings
    assert set(re.findall(r"^# ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)) == settings


def test_readme_lists_every_make_target_and_no_other() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z]+)", README)) == targets


def test_readme_lists_every_process_and_no_other() -> None:
    processes = set(re.findall(r"^([a-z]+):", (ROOT / "Procfile").read_text(), re.M))
    table = README.partition("## Processes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z]+)`", table, re.M)) == processes


def test_readme_lists_every_route_and_no_other() -> None:
    routes = {
        (method, re.sub(r":uuid}", "}", route.path))
        for route in ROUTES
        for method in (route.methods or set()) - {"HEAD"}
    }
    table = README.partition("## HTTP")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([A-Z]+) (/[^`?]*)", table, re.M)) == routes


def test_no_two_queries_share_a_name_and_each_is_used() -> None:
    names = [
        name
        for path in (SQL / "queries").glob("*.sql")
        for name in re.findall(r"^-- name: (\w+)", path.read_text(), re.M)
    ]
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(load_queries(), name)] == []
    assert [name for name in names if f'"{name}"' not in CODE] == []


def test_every_migration_can_be_rolled_back() -> None:
    files = {path.name for path in (SQL / "migrations").glob("*.sql")}
    forward = {name for name in files if not name.endswith(".rollback.sql")}
    assert {name.replace(".sql", ".rollback.sql") for name in forward} == files - forward
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.sql", name) for name in forward)


def test_the_demo_book_has_three_chapters_with_passages_of_every_type() -> None:
    book = read_demo_book()
    passages = [each for chapter in book.chapters for each in chapter.descriptions]
    assert len(book.chapters) == 3
    assert len(passages) >= 8
    assert len({each.type for each in passages}) == 5
    assert all(each.content in chapter.content for chapter in book.chapters for each in chapter.descriptions)
