#!/bin/bash
# The lab's driver held against the contract. Others: PW_FIXTURE=/path/of/their/fixture.
cd "$(dirname "$0")" || exit 1
export PW_BUILD_DIR=${PW_BUILD_DIR:?}
exec "$PW_BUILD_DIR/tests/conformance/conformance" "${PW_FIXTURE:-$PWD/fixture-hvlab}" "$@"
