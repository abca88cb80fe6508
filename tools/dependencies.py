#!/usr/bin/env python3
"""dependencies.py [COMMIT] - is docs/dependencies.md what tools/setup.sh and package-lock.json install? Every package has
a row with its licence and why; npm's also its version, and the lock a sum for each. Suites that have a package.json of their
own have rows for what it names, and sums for all. With COMMIT: what the lock has gained, lost or changed since then, a line
each, with versions and sums."""
import json
import re
import subprocess
import sys

SUITES = ("tests/clients/sdks", "tests/clients/programs", "tests/web/bundlers", "tests/scale/kubernetes")
DOCS, LOCK, SETUP = "docs/dependencies.md", "package-lock.json", "tools/setup.sh"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def locked(text):
    """name -> (version, licence, sum); platforms' variants of one package are one."""
    found = {}
    for path, entry in json.loads(text)["packages"].items():
        if not path:
            continue
        name = re.sub(r"^@typescript/typescript-[\w-]+$", "@typescript/*", path.split("node_modules/")[-1])
        found[name] = (entry.get("version", ""), entry.get("license", ""), entry.get("integrity", ""))
    return found


def from_apt(text):
    """What needed() and wanted() may echo, with the first clang that is looked for."""
    functions = re.findall(r"^(?:needed|wanted)\(\) \{\n(.*?)^\}", text, re.M | re.S)
    lists = [names for function in functions for names in re.findall(r'echo "([^"]*)"', function)]
    return sorted({name for names in lists for name in names.replace("$(apt_clang)", "-19").split()})


def rows(text, heading):
    part = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in part.splitlines()
             if line.startswith("| `")]
    return {row[0]: row[1:] for row in cells}


def check_suites(rows_here):
    """What is wrong with the rows of the suites' own packages, and how many packages there are."""
    bad, named = [], set()
    for folder in SUITES:
        packages = json.loads(read(folder + "/package-lock.json"))["packages"]
        bad += [f"{folder}: {path} has no SHA-512" for path, entry in packages.items()
                if path and not entry.get("integrity", "").startswith("sha512-")]
        for name in json.loads(read(folder + "/package.json"))["dependencies"]:
            entry = packages["node_modules/" + name]
            row = rows_here.get(name, ["nothing"])
            named.add(name)
            if row[0] != entry["version"] or len(row) < 3 or not row[1] or not row[2]:
                bad.append(f"{DOCS}: {folder}'s {name} is {entry['version']} in the lock, {row[0]} here")
    return bad + [f"{DOCS}: no suite has {name} any more" for name in rows_here if name not in named], len(named)


def check():
    docs, lock = read(DOCS), locked(read(LOCK))
    npm, apt = rows(docs, "From npm"), rows(docs, "From the system's packages")
    bad = []
    for name, (version, licence, integrity) in sorted(lock.items()):
        row = npm.get(name)
        if row is None:
            bad.append(f"{DOCS}: nothing of npm's {name} {version} ({licence})")
        elif row[0] != version or row[1] != licence or not row[2]:
            bad.append(f"{DOCS}: npm's {name} is {version} ({licence}) in the lock, {row[0]} ({row[1]}) here")
        if not integrity.startswith("sha512-"):
            bad.append(f"{LOCK}: {name} has no SHA-512")
    wanted = from_apt(read(SETUP))
    bad += [f"{DOCS}: nothing of {name}, which {SETUP} installs" for name in wanted if name not in apt]
    bad += [f"{DOCS}: {name} is not installed any more" for name in apt if name not in wanted]
    bad += [f"{DOCS}: {name} is not in the lock any more" for name in npm if name not in lock]
    bad += [f"{DOCS}: {name}: no licence or no reason" for name, row in apt.items() if len(row) < 2 or not all(row)]
    of_suites, n_suites = check_suites(rows(docs, "From npm, for one suite"))
    bad += of_suites
    for line in bad:
        print(line)
    print(f"dependencies: {len(lock) + n_suites + len(wanted) - min(len(bad), len(lock))} passed, {len(bad)} failed")
    return 1 if bad else 0


def changes(commit):
    old = locked(subprocess.run(["git", "show", f"{commit}:{LOCK}"], check=True, capture_output=True, text=True).stdout)
    new = locked(read(LOCK))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            show = ["%s (%s) %s" % side[name] if name in side else "absent" for side in (old, new)]
            print(f"{name}: {show[0]} -> {show[1]}")
    return 0


sys.exit(changes(sys.argv[1]) if len(sys.argv) > 1 else check())
