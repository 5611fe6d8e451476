/* What the two files about cluster-wide settings share. */
#ifndef PATCHWAVE_ENGINE_SETTING_H
#define PATCHWAVE_ENGINE_SETTING_H

#include "orchestrator/core/engine_state.h"
#include "orchestrator/core/rollout_names.h"

void setting_to(struct engine *e, struct engine_setting *s, enum setting_state state); /* the one door */
uint32_t setting_wanted(const struct engine *e, uint32_t i);
void setting_note(struct engine *e, const struct engine_cluster *c, enum note_kind kind, const char *text);
/* False: no node of the cluster can be asked now. */
bool setting_send(struct engine *e, struct engine_cluster *c, uint32_t i, uint32_t value, uint32_t expected);
void setting_leave(struct engine *e, struct engine_cluster *c, uint32_t i, const char *why);
void setting_settle_doubt(struct engine *e, struct engine_cluster *c, uint32_t i);
void setting_doubt_unchanged(struct engine *e, struct engine_cluster *c, uint32_t i);

#endif
