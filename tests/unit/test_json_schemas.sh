#!/usr/bin/env bash
# The published schemas against the repository's files, by python3-jsonschema.
exec python3 tests/unit/schemas.py
