#!/usr/bin/env bash
# The agent as it really speaks, against its published schema, by python3-jsonschema.
exec python3 tests/live/agent_schema.py
