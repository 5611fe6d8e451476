/* Apart from the rest of the engine, so that a test's program can be of another revision (tests/live). */
#include "orchestrator/core/engine.h"

const uint32_t engine_revision = ENGINE_REVISION;
