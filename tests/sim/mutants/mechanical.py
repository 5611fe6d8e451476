#!/usr/bin/env python3
"""Plants mechanical bugs (a negated condition, a dropped part of one, a boundary off by one, a statement left out, a flipped answer)
in engine, agent core, journal and runner, and tells which test or seed finds each.

    mechanical.py [--count 200] [--seed 1] [--seeds 600] [--jobs 1] [--only ID] [--table FILE] [--work DIR]

All bugs stand in one build of a copy of the tree, each behind a number that PW_MUTANT switches on; so the copy is built once. A program
that never comes to a bug's place cannot find it and is not run for it. What a program may take is counted in CPU time: a busy machine
finds nothing. With --work the copy stays, and a later call uses it as it is. Exit code 0; the survivors are for a person to judge
(docs/mutants.md)."""
import argparse
import concurrent.futures
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
FILES = re.compile(r"^(orchestrator/core/(engine\w*|runner|gate|node_sm|wave_sm|ledger|event_read|log_chain)\.c"
                   r"|agent/core/\w+\.c|agent/io/journal\.c)$")
# Programs that link the cores, quickest first; between them the simulator, at the end with all its seeds.
UNITS = ["test_agent", "test_op_life", "test_methods", "test_method_read", "test_method_move", "test_agent_conn", "test_claim",
         "test_journal_fold", "test_agent_journal", "test_driver_proto", "test_driver_answer", "test_engine_timer", "test_gate",
         "test_gate_judge", "test_event", "test_event_pictures", "test_ledger"]
SCENARIOS = ["test_rollout", "test_failures", "test_unknown", "test_gates", "test_gate_odds", "test_verbs", "test_verb_words",
             "test_policy", "test_windows", "test_runner", "test_odd", "test_settings", "test_verb_moments", "test_event_order",
             "test_op_answers", "test_evidence_of_effect", "test_step_odds", "test_admission", "test_special_vms",
             "test_backend_plan", "test_handover", "test_spoiled_events", "test_spoiled_handover", "test_store_log", "test_crash"]
PROGRAMS = UNITS + SCENARIOS
SIM = "sim_patchwave"
FEW = 60  # seeds that are asked before the scenarios
HEAD = ("extern int pw_mutant;\nextern unsigned char *pw_mutant_hit;\n"
        "#define pw_mut(n) (pw_mutant_hit[n] = 1, pw_mutant == (n))\n#line 1\n")
SWITCH = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
static unsigned char hits[65536];
int pw_mutant;
unsigned char *pw_mutant_hit = hits;
__attribute__((constructor)) static void switch_on(void)
{
    const char *n = getenv("PW_MUTANT"), *file = getenv("PW_MUTANT_HITS");
    int fd = file != NULL ? open(file, O_RDWR | O_CREAT, 0600) : -1;
    void *map;

    if (n != NULL)
        pw_mutant = atoi(n);
    if (fd < 0 || ftruncate(fd, sizeof hits) != 0)
        return;
    map = mmap(NULL, sizeof hits, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        pw_mutant_hit = map; /* children that are killed count too */
    close(fd);
}
"""
SIMPLE = r"[A-Za-z_][\w.]*(?:->[\w.]+|\[[\w.>-]+\])*"
BOUND = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}


def masked(text):
    """The text with comments, strings and characters blanked, every place where it was."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group())
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def closing(text, at):
    depth = 0
    for i in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return -1


def parts(cond):
    """Where the top-level && or || of a condition stand, if it has only one kind of them."""
    depth, cuts, kinds, i = 0, [0], set(), 0
    while i < len(cond) - 1:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(cond[i], 0)
        if depth == 0 and cond[i] == "?":
            return None, []
        if depth == 0 and cond[i:i + 2] in ("&&", "||"):
            kinds.add(cond[i:i + 2])
            cuts += [i, i + 2]
            i += 1
        i += 1
    cuts.append(len(cond))
    return (kinds.pop() if len(kinds) == 1 else None), list(zip(cuts[::2], cuts[1::2]))


def places(path, text):
    """(kind, start, end, shape) of every bug that can be planted; shape has %d for the number and %s for the text there."""
    m = masked(text)
    for hit in re.finditer(r"\b(?:if|while) \(", m):
        start = hit.end()
        end = closing(m, start - 1)
        if end < 0 or m[:hit.start()].count("{") == m[:hit.start()].count("}"):
            continue
        yield "negate", start, end, "pw_mut(%d) != !!(%s)"
        kind, found = parts(m[start:end])
        if kind is not None:
            for a, b in found:
                yield "drop " + kind, start + a, start + b, (" (pw_mut(%d) || (%s)) " if kind == "&&" else " (!pw_mut(%d) && (%s)) ")
    for hit in re.finditer(rf"(?:\(|&& |\|\| |return )(({SIMPLE}) (<=?|>=?|==|!=) ({SIMPLE}|\d+))(?=\)| &&| \|\||;)", m):
        a, op, b = hit.groups()[1:]
        yield f"{BOUND[op]} for {op}", hit.start(1), hit.end(1), f"(pw_mut(%d) ? {a} {BOUND[op]} {b} : %s)"
    for hit in re.finditer(r"(?<=[;{})])\n[ ]{4,}((?:[a-z_]\w*\([^;{}]*\))|(?:[a-z_]\w*(?:->|\.)[\w.>\[\]-]+ (?:[|+&-]?=) [^;{}]*));(?=\n)", m):
        if hit.group(1).startswith(("assert(", "va_", "qsort(")):
            continue
        yield "left out", hit.start(1), hit.end(1) + 1, "{ if (!pw_mut(%d)) %s }"
    for hit in re.finditer(r"\breturn (true|false);", m):
        other = "false" if hit.group(1) == "true" else "true"
        yield "flip", hit.start(1), hit.end(1), f"pw_mut(%d) ? {other} : %s"


def instrument(tree):
    bugs = []
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    for path in sorted(f for f in tracked if FILES.match(f)):
        text = open(os.path.join(tree, path)).read()
        edits = []
        for kind, start, end, shape in places(path, text):
            bugs.append((len(bugs) + 1, path, text.count("\n", 0, start) + 1, kind, " ".join(text[start:end].split())))
            edits.append((start, end, shape, len(bugs)))
        # Inner edits first: an outer one takes the text as it is by then.
        def render(start, end, inner):
            out, at = "", start
            inner = sorted(inner, key=lambda e: (e[0], -e[1], e[3]))
            while inner:
                s, e, shape, n = inner.pop(0)
                within = [x for x in inner if x[0] >= s and x[1] <= e]
                inner = [x for x in inner if x not in within]
                if s < at:
                    continue
                out += text[at:s] + shape % (n, render(s, e, within))
                at = e
            return out + text[at:end]
        body = render(0, len(text), edits)
        open(os.path.join(tree, path), "w").write(HEAD + body)
    with open(os.path.join(tree, "schema/prng.c"), "a") as f:
        f.write(SWITCH)
    return bugs


def build(work):
    tree = os.path.join(work, "tree")
    os.makedirs(tree)
    tar = subprocess.Popen(["git", "-C", ROOT, "ls-files", "-z"], stdout=subprocess.PIPE)
    subprocess.run(f"tar cf - -C '{ROOT}' --null -T - | tar xf - -C '{tree}'", shell=True, check=True, stdin=tar.stdout)
    bugs = instrument(tree)
    flags = os.path.join(tree, "cmake/pw_warnings.cmake")
    text = open(flags).read()
    open(flags, "w").write(re.sub(r"-W[\w=-]+", "", text))
    targets = [SIM] + PROGRAMS
    # What core may see is checked on the tree itself; the copy's switch stands outside of it.
    subprocess.run(["cmake", "-S", tree, "-B", work + "/build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                    "-DCMAKE_C_FLAGS=-D_GNU_SOURCE -w", "-DCMAKE_C_EXTENSIONS=ON"], check=True, stdout=subprocess.DEVNULL)
    made = subprocess.run(["ninja", "-C", work + "/build", *targets], capture_output=True, text=True)
    if made.returncode != 0:
        sys.exit(f"mechanical.py: the copy does not build:\n{made.stdout[-3000:]}")
    return bugs


def copy(work):
    table = os.path.join(work, "bugs.json")
    if os.path.exists(table):
        return json.load(open(table))
    bugs = build(work)
    json.dump(bugs, open(table, "w"))
    return bugs


class Bench:
    def __init__(self, work, seeds):
        self.work, self.seeds, self.reach = work, seeds, {}
        self.programs = {name: self.find(name) for name in [SIM] + PROGRAMS}
        self.steps = [(name, 0) for name in UNITS] + [(SIM, FEW)] + [(name, 0) for name in SCENARIOS] + [(SIM, seeds)]

    def find(self, name):
        for folder, _, names in os.walk(self.work + "/build"):
            if name in names and os.access(os.path.join(folder, name), os.X_OK):
                return os.path.join(folder, name)
        sys.exit(f"mechanical.py: no program {name}")

    def run(self, name, number, seeds=0, hits=None, limit=600):
        argv = [self.programs[name]]
        if name == SIM:
            argv += ["--seeds", f"1..{seeds}", "--quiet"]
        env = {**os.environ, "PW_MUTANT": str(number), "PW_BUILD_DIR": self.work + "/build", "CMOCKA_MESSAGE_OUTPUT": "TAP"}
        if hits:
            env["PW_MUTANT_HITS"] = hits
        p = subprocess.Popen(argv, cwd=self.work + "/tree", env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, start_new_session=True,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5)))
        try:
            text = p.communicate(timeout=60 * limit)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            return "does not end"
        finally:
            try:
                os.killpg(p.pid, signal.SIGKILL)  # whoever plays for it ends with it
            except ProcessLookupError:
                pass
            p.wait()
        if p.returncode == 0:
            return None
        if p.returncode in (-signal.SIGXCPU, -signal.SIGKILL) or "out of CPU time at seed" in text:
            return "does not end"
        line = next((x for x in text.split("\n") if re.match(r"VIOLATION|\d+ I\d+ at|not ok|.*Assertion", x)), f"exit {p.returncode}")
        return line[:110]

    def calibrate(self):
        """What each program reaches without a bug, and how long it takes."""
        for name in self.programs:
            hits = f"{self.work}/hits-{name}"
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            fault = self.run(name, 0, self.seeds, hits)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if fault:
                sys.exit(f"mechanical.py: {name} fails without a bug: {fault}")
            self.reach[name] = (open(hits, "rb").read(), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    def judge(self, bug):
        number = bug[0]
        reached = [(n, s) for n, s in self.steps if self.reach[n][0][number]]
        for name, seeds in reached:
            found = self.run(name, number, seeds, limit=int(5 + 8 * self.reach[name][1]))
            if found:
                return bug, name, found
        return bug, None, "SURVIVES" if reached else "NOT REACHED"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--count", type=int, default=200)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--seeds", type=int, default=600, help="simulated rollouts per bug")
    ap.add_argument("--jobs", type=int, default=1)
    ap.add_argument("--only", type=int, action="append", help="this bug only, by its number")
    ap.add_argument("--table", help="write the table there too")
    ap.add_argument("--work", help="folder for the copy, which stays there")
    args = ap.parse_args()
    work = os.path.abspath(args.work) if args.work else tempfile.mkdtemp(prefix="pw-mutants-")
    try:
        bugs = copy(work)
        bench = Bench(work, args.seeds)
        bench.calibrate()
        chosen = [b for b in bugs if b[0] in args.only] if args.only else random.Random(args.seed).sample(bugs, min(args.count, len(bugs)))
        print(f"{len(bugs)} places, {len(chosen)} planted (--seed {args.seed}), {args.seeds} simulated rollouts each", flush=True)
        rows, left = [], 0
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for bug, by, what in pool.map(bench.judge, sorted(chosen)):
                left += by is None
                rows.append(f"{bug[0]:5} {bug[1]}:{bug[2]:<4} {bug[3]:10} `{bug[4][:70]}` | {by or '-'} | {what}")
                print(rows[-1], flush=True)
        print(f"{len(chosen)} planted, {left} left to judge")
        if args.table:
            open(args.table, "w").write("\n".join(rows) + "\n")
    finally:
        if not args.work:
            shutil.rmtree(work, ignore_errors=True)


main()
