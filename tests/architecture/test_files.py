"""Files: short enough to read, free of traces of the machine they were written on, linked where they say so."""

import re

from tests.architecture.sources import ROOT, project_files, report, sources

LONGEST = 450

# One letter of each pattern stands in brackets, so that this file does not find itself.
TRACES = {
    "a folder of the author's machine": r"(?<![\w.*])/(wor[k]|roo[t]|hom[e]|op[t])(/|(?!\S))",
    "an unpublished note": r"\.librar[y]\b|share[d]/(design|facts|golden|hooks|prototypes|data)|brie[f]\.md",
    "a package index by its host": r"pypi\.or[g]|pythonhoste[d]|deb\.debia[n]|npmj[s]\.org",
    "a private address": r"\b(10|192\.168)\.\d+\.\d+\.\d+\b",
}

TEXT = {".py", ".md", ".toml", ".json", ".txt", ".cfg", ".yml", ".yaml", ".v", ".sv", ".csv", ".html", ""}


def texts():
    """Every text file of the project, as (path, text)."""
    for path in project_files():
        if path.suffix in TEXT and path.stat().st_size < 2_000_000:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8", errors="replace")


def test_no_source_file_is_too_long_to_read():
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in sources("nmpsim")}
    report([f"{name}: {lines} lines, at most {LONGEST}" for name, lines in sizes.items() if lines > LONGEST])


def test_no_file_names_the_machine_it_was_written_on():
    report(
        [
            f"{name}:{number}: {what}"
            for name, text in texts()
            for number, line in enumerate(text.splitlines(), 1)
            for what, pattern in TRACES.items()
            if re.search(pattern, line)
        ]
    )


def test_the_traces_are_recognised():
    def found(line):
        return any(re.search(pattern, line) for pattern in TRACES.values())

    folder, host, notes = "work", "pypi", "shared"
    for line in [f"see /{folder}/main", f"cd /{folder}", f"https://{host}.org/simple", f"{notes}/facts/dram.md"]:
        assert found(line), line
    for line in ["workloads/work and network/works", "read */work/ as a ratio", "https://arxiv.org/abs/2510.05245"]:
        assert not found(line), line


def test_links_between_documents_lead_somewhere():
    pages = [path for path in project_files() if path.suffix == ".md"]
    assert pages
    report(
        [
            f"{page.relative_to(ROOT)}: {target} does not exist"
            for page in pages
            for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
            if "://" not in target and not (page.parent / target).exists()
        ]
    )
