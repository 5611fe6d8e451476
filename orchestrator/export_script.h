/* One node's part of a plan as a PowerShell script for shops that deploy by
 * their own tool (O31): the template of agent/drivers/hyperv/export with the
 * slice of the plan and the driver's own scripts in it. */
#ifndef PATCHWAVE_EXPORT_SCRIPT_H
#define PATCHWAVE_EXPORT_SCRIPT_H

#include "orchestrator/core/plan.h"
#include "orchestrator/io/embedded_text.h"

extern const struct embedded_text export_texts[]; /* the driver's scripts, driver.json, rollout.ps1 */

struct export_approval {
    const char *person, *ticket;
    time_ms expires;
};
/* Pure ASCII with LF. `node` is an index into plan.nodes. `ret_digest` is the
 * SHA-256 of the slice, as the script has it and checks it. ERR_REFUSED for a
 * node that the plan does not patch in one life. */
int export_script_write(struct buf *out, const struct plan *p, uint32_t node,
                        const struct export_approval *approval, char ret_digest[SHA256_TEXT],
                        struct err *err);

#endif
