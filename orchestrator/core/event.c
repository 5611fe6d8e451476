#include "orchestrator/core/event_names.h"

#include <string.h>

const char *const event_type_names[EVENT_TYPES] = {
#define X(name, text) [EV_##name] = text,
    EVENT_MAP(X)
#undef X
};
const char *const observe_names[OBSERVE_WHATS] = { "facts",   "cluster", "verify", "empty",    "removability",
                                                   "storage", "time",    "backup", "heartbeat" };
const char *const op_state_names[OP_UNKNOWN + 1] = { "none", "accepted", "running", "done", "unknown" };
const char *const op_outcome_names[OUTCOME_CANCELLED + 1] = { "none", "ok", "failed", "refused",
                                                              "cancelled" };
const char *const op_witness_names[WITNESS_CANNOT_TELL + 1] = { "not_asked", "done", "not_done", "running",
                                                                "cannot_tell" };
const char *const down_subject_names[DOWN_VMMS + 1] = { "vm", "node", "vmms" };
const char *const down_cause_names[CAUSE_CRASH + 1] = { "blackout",   "quick",        "saved",    "shut_down",
                                                        "turned_off", "vmms_stopped", "node_out", "crash" };
const char *const verb_names[VERBS] = { "pause",     "resume",  "abort",    "abort-force", "retry",
                                        "set-aside", "promote", "rollback", "return",      "decide" };

const char *event_type_name(enum event_type t)
{
    return event_type_names[t];
}

const char *observe_name(enum observe_what w)
{
    return observe_names[w];
}

const char *op_state_name(enum op_state s)
{
    return op_state_names[s];
}

const char *op_outcome_name(enum op_outcome o)
{
    return op_outcome_names[o];
}

const char *down_subject_name(enum down_subject s)
{
    return down_subject_names[s];
}

const char *down_cause_name(enum down_cause c)
{
    return down_cause_names[c];
}

const char *verb_name(enum verb v)
{
    return verb_names[v];
}

int verb_by_name(const char *name)
{
    for (int v = 0; v < VERBS; v++)
        if (strcmp(verb_names[v], name) == 0)
            return v;
    return -1;
}

bool event_has_picture(const struct event *ev)
{
    return ev->type == EV_OBSERVED && ev->u.observed.what == OBSERVE_CLUSTER && ev->u.observed.ok &&
           ev->cluster != IX_NONE;
}
