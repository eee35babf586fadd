#!/usr/bin/env python3
"""Which numbered requirements (docs/requirements.md) the tests name.

A requirement is covered when a test names its ID. A test is a file below a `tests` folder, or the
part of a source file from its `#[cfg(test)]` on. `--summary` prints the counts per clause only,
`--missing` the IDs that no test names.
"""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
ID = re.compile(r"\bR(?:H|A|B)?[0-9]*(?:\.[0-9]+)*(?:\.T)?x?-[0-9]+\b")

clauses: dict[str, list[str]] = {}
clause = ""
for line in (root / "docs/requirements.md").read_text().splitlines():
    if line.startswith("## "):
        clause = line[3:]
    elif line.startswith("| R"):
        clauses.setdefault(clause, []).append(line.split("|")[1].strip())

named: dict[str, set[str]] = {}
for path in root.rglob("*"):
    parts = path.relative_to(root).parts
    if path.suffix not in {".rs", ".py"} or parts[0].startswith(".") or parts[0] == "target":
        continue
    if parts[0] == "scripts" or not path.is_file():
        continue
    text = path.read_text(errors="replace")
    if "tests" not in parts[:-1] and path.name != "tests.rs":
        cut = text.find("#[cfg(test)]")
        if cut < 0:
            continue
        text = text[cut:]
    for found in ID.findall(text):
        named.setdefault(found, set()).add(str(path.relative_to(root)))

known = {i for ids in clauses.values() for i in ids}
unknown = sorted(set(named) - known)
if "--missing" in sys.argv:
    print("\n".join(i for ids in clauses.values() for i in ids if i not in named))
    sys.exit()
total = covered = 0
print(f"{'requirements named by tests':<58}{'covered':>8}{'of':>6}")
for clause, ids in clauses.items():
    hit = [i for i in ids if i in named]
    total += len(ids)
    covered += len(hit)
    print(f"{clause:<58}{len(hit):>8}{len(ids):>6}")
    if "--summary" not in sys.argv:
        for i in hit:
            print(f"    {i:<14}{', '.join(sorted(named[i]))}")
print(f"{'total':<58}{covered:>8}{total:>6}")
if unknown:
    print("named but not in docs/requirements.md:", ", ".join(unknown))
    sys.exit(1)
