/* What the two files about a handover share. */
#ifndef PATCHWAVE_ENGINE_HANDOVER_H
#define PATCHWAVE_ENGINE_HANDOVER_H

#include "orchestrator/core/handover.h"

/* engine_handover_node.c: nodes as they were left, then their open operations; nothing is driven yet. */
void handover_nodes(struct engine *e, const struct handover *h);
void handover_parks(struct engine *e, const struct handover *h);
void handover_ops(struct engine *e, const struct handover *h);
/* engine_op.c, engine_gate.c, engine_wave.c */
struct op *op_restore(struct engine *e, const struct handover_op *from, uint32_t vm);
void gate_restore(struct engine *e, const struct handover_gate *from);
enum hold hold_by_text(const char *text);

#endif
