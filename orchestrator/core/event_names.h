/* The words of event.h's enums, for writer and reader alike. */
#ifndef PATCHWAVE_EVENT_NAMES_H
#define PATCHWAVE_EVENT_NAMES_H

#include "orchestrator/core/event.h"

extern const char *const event_type_names[EVENT_TYPES];
extern const char *const observe_names[OBSERVE_WHATS];
extern const char *const op_state_names[OP_UNKNOWN + 1];
extern const char *const op_outcome_names[OUTCOME_CANCELLED + 1];
extern const char *const op_witness_names[WITNESS_CANNOT_TELL + 1];
extern const char *const down_subject_names[DOWN_VMMS + 1];
extern const char *const down_cause_names[CAUSE_CRASH + 1];
extern const char *const verb_names[VERBS];

#endif
