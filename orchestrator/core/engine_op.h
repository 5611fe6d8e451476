#ifndef PATCHWAVE_ENGINE_OP_H
#define PATCHWAVE_ENGINE_OP_H

#include "orchestrator/core/engine_state.h"

struct action_row {
    const char *name;          /* as on the wire and in op ids */
    enum predict_step predict; /* PREDICT_STEPS: by the VM */
    dur_ms floor_ms;           /* the shortest time limit */
};
extern const struct action_row action_rows[ACTIONS];

void op_command(struct engine *e, enum command_type type, uint32_t node, const char *id);

#endif
