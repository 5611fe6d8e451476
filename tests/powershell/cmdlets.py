#!/usr/bin/env python3
"""Write docs/windows-cmdlets.md: every cmdlet and parameter that the driver uses, with its source. cmdlets.py PSHOST.DLL"""
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def page(program):
    scripts = sorted((ROOT / "agent/drivers/hyperv").glob("*.ps*")) + sorted((ROOT / "agent/drivers/hyperv/export").glob("*.ps1"))
    scripts = [s for s in scripts if s.suffix in (".ps1", ".psm1")]
    allow = {}
    for line in (HERE / "allow.tsv").read_text().splitlines():
        if not line.startswith("#"):
            kind, name, source = line.split("\t")
            allow[kind, name] = source
    users = {}
    r = subprocess.run(["dotnet", program, "--check-5.1", str(HERE / "allow.tsv"), *map(str, scripts)], capture_output=True, text=True)
    for line in r.stdout.splitlines():
        if line.startswith("use"):
            _, kind, name, file = line.split("\t")
            users.setdefault((kind, name), []).append("(module)" if file.endswith(".psm1") else file[:-len(".ps1")])
    sources = [l.split("\t") for l in (HERE / "surface/sources.tsv").read_text().splitlines()[1:]]
    out = ["# What the Hyper-V driver uses of Windows", "",
           "Every cmdlet and parameter in `agent/drivers/hyperv`, found by its syntax trees, with the source that says it exists. Written by",
           "`tests/powershell/cmdlets.py`; the suite fails when it is not up to date. What is not here may not be used (`tests/powershell/allow.tsv`).", "",
           "| source | repository | commit |", "|---|---|---|"]
    out += ["| %s | %s `%s` | `%s` |" % (k, r, p, c[:12]) for k, r, c, p in sources]
    out += ["", "## Cmdlets", "", "| cmdlet | parameters | module | source | used by |", "|---|---|---|---|---|"]
    commands = sorted({n.split(" ")[0] for k, n in users if k == "command"})
    for c in commands:
        parameters = sorted(re.sub(r"^\S+ ", "", n) for k, n in users if k == "command" and n.startswith(c + " "))
        module = allow["command", c].split(" ")[-1].split("/")[0]
        source = sorted({allow["command", n].split(" ")[0] for k, n in users if k == "command" and n.split(" ")[0] == c})
        by = sorted({u for k, n in users if k == "command" and n.split(" ")[0] == c for u in users[k, n]})
        out.append("| %s | %s | %s | %s | %s |" % (c, " ".join(parameters), module, " ".join(source), " ".join(by)))
    out += ["", "## .NET Framework", "", "| what | source | used by |", "|---|---|---|"]
    for kind, name in sorted(users):
        if kind in ("static", "type", "method", "variable"):
            out.append("| %s `%s` | %s | %s |" % (kind, name, allow[kind, name], " ".join(sorted(set(users[kind, name])))))
    return "\n".join(out + setup(program) + unverified()) + "\n"


def setup(program):
    """What the set-up of a node uses: it is read by people and run once, so no table says beforehand what it may use."""
    script = ROOT / "orchestrator/bootstrap/windows.ps1"
    r = subprocess.run(["dotnet", program, "--check-5.1", str(HERE / "allow.tsv"), str(script)], capture_output=True, text=True)
    used = {}
    for line in r.stdout.splitlines():
        if line.startswith("use\tcommand\t"):
            command, _, parameter = line.split("\t")[2].partition(" ")
            used.setdefault(command, set()).update([parameter] if parameter.startswith("-") else [])
    rows = [l.split("\t") for l in (HERE / "surface/commands.tsv").read_text().splitlines()[1:]]
    known = {r[1]: (r[0], r[11]) for r in rows}
    out = ["", "## The set-up of a node", "", "What `enroll --bootstrap` prints uses these, and the programs " +
           ", ".join("`%s`" % c for c in sorted(used) if c.endswith(".exe")) + ", `sshd.exe` and `ssh-keygen.exe`.", "",
           "| cmdlet | parameters | module | source |", "|---|---|---|---|"]
    return out + ["| %s | %s | %s | %s |" % (c, " ".join(sorted(used[c])), *known[c]) for c in sorted(used) if not c.endswith(".exe")]


def unverified():
    """Every fact that no reference says, with who relies on it: the rows of probe.json, and the sources that cite them."""
    files = [f for top in ("agent", "orchestrator") for kind in ("*.c", "*.ps1", "*.psm1") for f in sorted((ROOT / top).rglob(kind))]
    cited = {}
    for f in files:
        for word in set(re.findall(r"probe:([a-z0-9-]+)", f.read_text())):
            cited.setdefault(word, []).append(f.name)
    for line in (HERE / "surface/own.tsv").read_text().splitlines():
        if "own:" in line:
            cited.setdefault(line.split("own:")[1], []).append("the stand-ins")
    out = ["", "## What no reference says", "", "`patchwave-agent probe` looks at each of these on a node (O30).", "", "| row | expected | observed by | used by | cited in |",
           "|---|---|---|---|---|"]
    for p in json.loads((ROOT / "agent/drivers/hyperv/probe.json").read_text())["probes"]:
        out.append("| `%s` | %s | %s | %s | %s |" % (p["id"], p["expected"].replace("|", "\\|"), p["observed_by"], p["used_by"], ", ".join(sorted(set(cited.get(p["id"], []))))))
    return out


if __name__ == "__main__":
    (ROOT / "docs/windows-cmdlets.md").write_text(page(sys.argv[1]))
