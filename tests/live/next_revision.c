/* The program of the next engine revision, as far as anybody can see (test_upgrade.sh): linked before the engine's own. */
#include "orchestrator/core/engine.h"

const uint32_t engine_revision = ENGINE_REVISION + 1;
