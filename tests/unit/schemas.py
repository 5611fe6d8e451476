"""Holds every JSON file the repository publishes against its schema, with a validator that is not ours. Prints TAP."""
import glob
import json
import os
import re
import sys
import warnings

warnings.simplefilter("ignore")
import jsonschema

SCHEMAS = {os.path.basename(p): json.load(open(p, encoding="utf-8")) for p in sorted(glob.glob("schema/*.schema.json"))}
count = bad = 0


def case(title, errors):
    global count, bad
    count += 1
    bad += bool(errors)
    print(f"{'not ok' if errors else 'ok'} {count} - {title}")
    for e in errors[:10]:
        print(f"#   {e}")


def validator(name, part=None):
    schema = SCHEMAS[name]
    store = {s["$id"]: s for s in SCHEMAS.values() if "$id" in s}
    if part:
        schema = {"$schema": schema["$schema"], "$id": schema["$id"], "$ref": "#/$defs/" + part, "$defs": schema["$defs"]}
    resolver = jsonschema.RefResolver(schema["$id"], schema, store={**store, schema["$id"]: schema})
    return jsonschema.Draft202012Validator(schema, resolver=resolver)


def errors_of(name, document, part=None):
    found = validator(name, part).iter_errors(document)
    return [f"{e.json_path}: {e.message[:200]}" for e in found]


def load(path):
    return json.load(open(path, encoding="utf-8"))


for name, schema in SCHEMAS.items():
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        case(f"{name} is a schema", [])
    except jsonschema.SchemaError as e:
        case(f"{name} is a schema", [e.message])

for path in sorted(glob.glob("examples/inventories/*.json")):
    case(path, errors_of("inventory.schema.json", load(path)))
for path in sorted(glob.glob("examples/rollouts/*.json")):
    case(path, errors_of("rollout.schema.json", load(path)))
for path in sorted(glob.glob("examples/policies/*.json")):
    case(path, errors_of("rollout.schema.json", load(path), "policy"))
for path in sorted(glob.glob("examples/**/driver.json", recursive=True) + glob.glob("agent/drivers/*/driver.json")):
    case(path, errors_of("driver.schema.json", load(path)))
for path in sorted(glob.glob(os.environ.get("PW_BUILD_DIR", "build/debug") + "/examples/*.plan.json")):
    case(os.path.basename(path), errors_of("plan.schema.json", load(path)))

for path in sorted(glob.glob(os.environ.get("PW_BUILD_DIR", "build/debug") + "/report.json")):
    case(os.path.basename(path), errors_of("report.schema.json", load(path)))

# The log of a whole rollout, as tests/scenarios/test_rollout kept it.
for path in sorted(glob.glob(os.environ.get("PW_BUILD_DIR", "build/debug") + "/events.jsonl")):
    lines = open(path, encoding="utf-8").read().splitlines()
    case(f"{os.path.basename(path)}: {len(lines)} events", [e for text in lines for e in errors_of("event.schema.json", json.loads(text))])

# What a rollout on the planning world never says: its nodes have no journal that could be new or lost.
case("a claim with a blank journal", errors_of("event.schema.json",
     {"at_ms": 1, "type": "node_claimed", "node": "HV07", "machine_id": "M7", "boot_id": "B1", "agent": "0.1.0", "blank": True, "ops": []}))

# The examples in the contract's own text.
blocks = re.findall(r"^[ ]*```json\n(.*?)^[ ]*```", open("docs/driver.md", encoding="utf-8").read(), re.M | re.S)
PARTS = (("machine_id", "node_facts"), ("possible_owners", "vm"), ("quorum", "cluster_health"), ("action", "request"),
         ("result", "answer"), ("error", "answer"), ("witness", "answer"))
for block in blocks:
    for text in block.strip().split("\n{"):
        document = json.loads(text if text.startswith("{") else "{" + text)
        part = next(p for key, p in PARTS if key in document)
        # "5f0c..." stands for a GUID, "<id>" for an id
        if part == "vm":
            document["id"] = "5f0c0001-7d21-4c5e-9a10-000000000001"
        case(f"docs/driver.md: {part}", errors_of("driver.schema.json", document, part))

# A validator that accepts everything proves nothing.
wrong = load("examples/inventories/two-clusters.json")
wrong["nodes"][0]["memory_mib"] = "much"
case("a wrong type is found", [] if errors_of("inventory.schema.json", wrong) else ["it is not"])
wrong = load("examples/rollouts/emergency.json")
wrong["waves"] = [12, "101%"]
case("a wave above 100 % is found", [] if errors_of("rollout.schema.json", wrong) else ["it is not"])
wrong = load("examples/rollouts/emergency.json")
wrong["gates"] = [{"type": "performance"}]
case("a gate that is not built in is found", [] if errors_of("rollout.schema.json", wrong) else ["it is not"])

print(f"1..{count}")
sys.exit(1 if bad else 0)
