/* The words of rollout JSON, shared by its reader and its writer. */
#ifndef PATCHWAVE_ROLLOUT_NAMES_H
#define PATCHWAVE_ROLLOUT_NAMES_H

#include "orchestrator/core/rollout.h"

extern const char *const gate_type_names[GATE_TYPES];
extern const char *const gate_scope_names[3];
extern const char *const gate_when_names[4]; /* index 0 is unused */
extern const char *const gate_on_fail_names[2];
extern const char *const rollback_policy_names[3];
extern const char *const reboot_policy_names[2];
extern const char *const pending_policy_names[2];
extern const char *const park_method_names[2];
extern const char *const patch_tool_names[2];
extern const char *const balancer_names[2];
extern const char *const cluster_setting_names[CLUSTER_SETTINGS];

/* What may be waived, and whether the waiver must name a cluster. */
struct waiver_kind {
    const char *what;
    bool names_cluster;
};
extern const struct waiver_kind waiver_kinds[5];

#endif
