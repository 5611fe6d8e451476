/* Where a run stands, from the projections: for `status`, its --watch, and
 * the live view of `run`. */
#ifndef PATCHWAVE_RENDER_STATUS_H
#define PATCHWAVE_RENDER_STATUS_H

#include "orchestrator/io/store.h"
#include "schema/buf.h"
#include "schema/json.h"
#include "schema/times.h"

struct status_look {
    const char *run;
    time_ms now;        /* fleet time */
    uint32_t lines_max; /* 0: no bound */
    int writer_pid;     /* of the running process; 0: none */
    bool lab;
};
int render_status(struct buf *out, struct store *s, const struct status_look *look, struct err *err);
int render_status_json(struct json_writer *w, struct store *s, const struct status_look *look,
                       struct err *err);

#endif
