/* O30: each fact that the agent and its driver rely on and that only this
 * machine can tell, looked at without changing anything. */
#ifndef PATCHWAVE_PROBE_H
#define PATCHWAVE_PROBE_H

#include "agent/io/settings.h"
#include "schema/buf.h"

/* Append {"node","agent","os","rows":[{"id","expected","observed","used_by","ok"}]}:
 * `ok` true, false, or null where people have to judge. Rows of the driver's
 * own `probe` action follow the agent's. *ret_bad counts the false ones.
 * ERR_INVALID (driver.json), ERR_NOMEM; what cannot be seen is a row, no error. */
int probe_run(const struct agent_settings *settings, const char *version, struct buf *out, uint32_t *ret_bad,
              struct err *err);

#endif
