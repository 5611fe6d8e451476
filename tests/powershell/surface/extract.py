#!/usr/bin/env python3
"""Extract the command surface of the stand-ins from the public references (O38).

    extract.py --mirror DIR [--out DIR]

DIR holds one git directory per reference, DIR/<owner>+<name>/repo or DIR/<owner>+<name>. Only facts are taken:
names of commands, parameters, sets, types, properties, enum members and numbers. The commit of every reference
is written to sources.tsv beside the tables, and each row names its source by key.
"""
import argparse
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
DOCS = "MicrosoftDocs/windows-powershell-docs"
SET = "docset/winserver2025-ps/{}/{{}}.md"
SOURCES = {
    # key: (repository, path of the page of a command or type, kind)
    "STUB-FC": ("dsccommunity/FailoverClusterDsc", "tests/Unit/Stubs/FailoverClusters.stubs.psm1", "stub"),
    "STUB-HV": ("dsccommunity/HyperVDsc", "tests/Unit/Stubs/Hyper-V.stubs.psm1", "stub"),
    "PS-CLU": (DOCS, SET.format("FailoverClusters"), "page"),
    "PS-HV": (DOCS, SET.format("Hyper-V"), "page"),
    "PS-STO": (DOCS, SET.format("Storage"), "page"),
    "PS-DISM": (DOCS, SET.format("Dism"), "page"),
    "PS-TASK": (DOCS, SET.format("ScheduledTasks"), "page"),
    "PS-BIT": (DOCS, SET.format("BitLocker"), "page"),
    "PS-PCSV": (DOCS, SET.format("PcsvDevice"), "page"),
    "PS-HGS": (DOCS, SET.format("HgsClient"), "page"),
    "PS-SMB": (DOCS, SET.format("SmbShare"), "page"),
    "PS-TPM": (DOCS, SET.format("TrustedPlatformModule"), "page"),
    "PS-FW": (DOCS, SET.format("NetSecurity"), "page"),
    "PS-NET": (DOCS, SET.format("NetConnection"), "page"),
    "PSH": ("MicrosoftDocs/PowerShell-Docs", "reference/5.1/*/{}.md", "page"),
    "WIN32": ("MicrosoftDocs/win32", "desktop-src/CIMWin32Prov/{}.md", "mof"),
}
SHOULD_PROCESS = {"WhatIf", "Confirm"}


class Mirror:
    """The git directories of the references, read at their newest commit."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.trees = {}

    def git(self, repo, *args):
        base = self.root / repo.replace("/", "+")
        base = base / "repo" if (base / "repo").exists() else base
        return subprocess.run(["git", "-C", str(base), *args], check=True, capture_output=True, text=True,
                              encoding="utf-8-sig").stdout

    def commit(self, repo):
        return self.git(repo, "rev-parse", "HEAD").strip()

    def text(self, repo, path):
        if "*" in path:
            top = path.split("*")[0]
            names = self.trees.setdefault((repo, top), self.git(repo, "ls-tree", "-r", "--name-only", "HEAD", top)
                                          .splitlines())
            found = [n for n in names if re.fullmatch(path.replace("*", "[^/]+"), n)]
            if not found:
                raise KeyError(path)
            path = found[0]
        return self.git(repo, "show", "HEAD:" + path)


COLUMNS = ["module", "command", "default_set", "parameter", "type", "set", "mandatory", "position", "pipeline", "aliases",
           "values", "source"]


def row(module, command, default, param, kind, set_name, mandatory, position, pipeline, aliases, values, source):
    """One parameter in one set ("*": all sets). The row with an empty parameter tells of ShouldProcess: its type is
    the confirm impact, or "-" where the command takes neither -WhatIf nor -Confirm."""
    return dict(zip(COLUMNS, [module, command, default, param, kind, set_name, "1" if mandatory else "0", position,
                              pipeline, aliases, values, source]))


def stub_command(text, command, source):
    """Rows of one function of a stub module: its CmdletBinding and its param block."""
    m = re.search(r"^function %s\s*\{(.*?)^\}" % re.escape(command), text, re.S | re.M | re.I)
    if m is None:
        return []
    body = m.group(1)
    module = re.search(r"# Name: (\S+)", text).group(1)
    default = re.search(r"DefaultParameterSetName\s*=\s*'([^']+)'", body)
    block = body[body.index("param ("):]
    rows, attributes = [], []
    kind, aliases, values = "System.Object", "", ""
    for line in (s.strip() for s in block.splitlines()[1:]):
        if line.startswith("end"):
            break
        attribute = re.match(r"\[Parameter\((.*)\)\]$", line)
        name = re.match(r"\$\{(.+?)\},?$", line)
        if attribute:
            attributes.append(attribute.group(1))
        elif line.startswith("[Alias("):
            aliases = ",".join(re.findall(r"'([^']+)'", line))
        elif line.startswith("[ValidateSet("):
            values = ",".join(re.findall(r"'([^']+)'", line))
        elif name:
            for a in attributes or [""]:
                set_name = re.search(r"ParameterSetName\s*=\s*'([^']+)'", a)
                position = re.search(r"Position\s*=\s*(\d+)", a)
                pipe = ("v" if re.search(r"ValueFromPipeline\s*=", a) else "") + \
                       ("n" if "ValueFromPipelineByPropertyName" in a else "")
                rows.append(row(module, command, default.group(1) if default else "", name.group(1), kind,
                                set_name.group(1) if set_name else "*", "Mandatory" in a,
                                position.group(1) if position else "", pipe, aliases, values, source))
            attributes, kind, aliases, values = [], "System.Object", "", ""
        elif re.match(r"\[[A-Za-z][\w.+\[\]]*\]$", line) and not line.startswith("[Validate"):
            kind = line[1:-1]
    impact = re.search(r"ConfirmImpact\s*=\s*'(\w+)'", body)
    process = (impact.group(1) if impact else "Medium") if "SupportsShouldProcess" in body else "-"
    rows.append(row(module, command, default.group(1) if default else "", "", process, "*", False, "", "", "", "", source))
    return rows


def page_command(text, command, source):
    """Rows of one reference page: set names from the syntax headings, parameters from their YAML blocks."""
    module = re.search(r"^Module Name: (\S+)", text, re.M).group(1)
    syntax = re.search(r"^## SYNTAX(.*?)^## ", text, re.S | re.M | re.I).group(1)
    sets = re.findall(r"^### (.+?)\s*$", syntax, re.M)
    default = next((s[:-len(" (Default)")] for s in sets if s.endswith(" (Default)")), "")
    rows = []
    body = text[text.index("## PARAMETERS"):] if "## PARAMETERS" in text else ""
    process = False
    for m in re.finditer(r"^### -(\w+)\s*$(.*?)(?=^### |^## |\Z)", body, re.S | re.M):
        name = m.group(1)
        if name in SHOULD_PROCESS:
            process = True
            continue
        for block in re.findall(r"```yaml(.*?)```", m.group(2), re.S):
            field = dict(re.findall(r"^([A-Z][\w ]+):[ \t]*(.*?)[ \t]*$", block, re.M))
            names = [s.strip() for s in field.get("Parameter Sets", "(All)").split(",")]
            position = field.get("Position", "Named")
            pipe = field.get("Accept pipeline input", "False")
            for set_name in names:
                rows.append(row(module, command, default, name, field.get("Type", "Object"),
                                "*" if set_name == "(All)" else set_name, field.get("Required") == "True",
                                position if position.isdigit() else "",
                                ("v" if "ByValue" in pipe else "") + ("n" if "ByPropertyName" in pipe else ""),
                                field.get("Aliases", "").replace(" ", ""),
                                field.get("Accepted values", "").replace(" ", ""), source))
    rows.append(row(module, command, default, "", "Medium" if process else "-", "*", False, "", "", "", "", source))
    return rows


def merge(first, later):
    """Parameters that only the later source knows, in sets that the first one has (else in all of them)."""
    have = {r["parameter"] for r in first}
    sets = {r["set"] for r in first}
    out, seen = list(first), set()
    for r in later:
        if r["parameter"] in have:
            continue
        r = dict(r, default_set=first[0]["default_set"], set=r["set"] if r["set"] in sets else "*")
        if (r["parameter"], r["set"]) not in seen:
            seen.add((r["parameter"], r["set"]))
            out.append(r)
    return out


def stub_types(text):
    """Every class and enum of a stub module: full name -> (kind, [(member, value or type)])."""
    types, space = {}, ""
    for m in re.finditer(r"^ *namespace (\S+)|^( {4}| {8})public (class|enum) (\w+)[^\n]*\n\2\{(.*?)^\2\}", text,
                         re.S | re.M):
        if m.group(1):
            space = m.group(1)
        elif m.group(3) == "enum":
            types[space + "." + m.group(4)] = ("enum", re.findall(r"(\w+) = (-?\d+)", m.group(5)))
        else:
            types[space + "." + m.group(4)] = ("class", [(p, t) for t, p in re.findall(
                r"public (\S+) (\w+) \{ get; set; \}", m.group(5))])
    return types


def closure(types, name, source, out):
    """A wanted class and every enum that its properties use."""
    kind, members = types[name]
    for member, value in members:
        out.append((kind, name, member, value, source))
        for used in re.findall(r"[\w.]+", value if kind == "class" else ""):
            if used in types and types[used][0] == "enum" and not any(r[1] == used for r in out):
                closure(types, used, source, out)


def mof_type(text, name):
    block = re.search(r"``` syntax(.*?)```", text, re.S).group(1)
    return re.findall(r"^\s+(\w+(?:\[\])?)\s+(\w+)(\[\])?\s*(?:= [^;]+)?;", block, re.M)


def write(path, head, rows):
    with open(path, "w", encoding="ascii", errors="backslashreplace", newline="\n") as f:
        f.write("\t".join(head) + "\n")
        for r in rows:
            f.write("\t".join(r) + "\n")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mirror", required=True)
    ap.add_argument("--out", default=str(HERE))
    args = ap.parse_args()
    mirror, out = Mirror(args.mirror), pathlib.Path(args.out)
    stubs = {k: mirror.text(r, p) for k, (r, p, kind) in SOURCES.items() if kind == "stub"}
    classes = {k: stub_types(t) for k, t in stubs.items()}
    commands, types, missing, used = [], [], [], set()
    for line in (HERE / "wanted.txt").read_text().splitlines():
        word = line.split()
        if not word or word[0] == "#":
            continue
        rows = []
        for key in word[3].split(","):
            repo, path, kind = SOURCES[key]
            used.add(key)
            if word[0] == "type":
                if kind == "stub":
                    closure(classes[key], word[1], key, types)
                else:
                    page = mirror.text(repo, path.format(word[1].lower().replace("_", "-")))
                    types += [("class", word[1], p, t + (a or ""), key) for t, p, a in mof_type(page, word[1])]
                continue
            try:
                got = stub_command(stubs[key], word[1], key) if kind == "stub" else \
                    page_command(mirror.text(repo, path.format(word[1])), word[1], key)
            except (KeyError, subprocess.CalledProcessError):
                got = []
            rows = merge(rows, got) if rows and got else rows or got
        if word[0] == "command":
            if not rows:
                missing.append(word[1])
            without = word[5].split(",") if len(word) > 5 else []
            commands += [[r[c] for c in COLUMNS] for r in rows if r["parameter"] not in without]
    if missing:
        sys.exit("not in any source: " + " ".join(missing))
    write(out / "commands.tsv", COLUMNS, commands)
    write(out / "types.tsv", ["kind", "type", "member", "value", "source"], [list(t) for t in types])
    write(out / "sources.tsv", ["key", "repository", "commit", "path"],
          [[k, SOURCES[k][0], mirror.commit(SOURCES[k][0]), SOURCES[k][1]] for k in SOURCES if k in used])


if __name__ == "__main__":
    main()
