/* The agent's configuration file (JSON, schema/agent.schema.json#config). */
#ifndef PATCHWAVE_AGENT_SETTINGS_H
#define PATCHWAVE_AGENT_SETTINGS_H

#include "agent/io/fleet_time.h"
#include "schema/err.h"
#include "schema/json.h"

struct agent_settings {
    struct json_doc *doc; /* owns the strings */
    const char *node, *state_dir, *socket, *driver;
    const char *socket_group; /* NULL: only the owner may connect */
    int64_t slots;            /* move_vm ops at once; default 1 (O19) */
    struct fleet_time clock;
    bool lab;
    int64_t lab_floor_ms; /* real: a driver is given at least this long; lab only */
};
/* `path` NULL: the system's default. ERR_INVALID with file:line:column, ERR_NOT_FOUND, ERR_IO. */
int agent_settings_read(const char *path, struct agent_settings *ret, struct err *err);
void agent_settings_clear(struct agent_settings *s);
/* state_dir/name, into `out`. ERR_INVALID when too long. */
int agent_settings_path(const struct agent_settings *s, const char *name, char *out, size_t size,
                        struct err *err);

#endif
