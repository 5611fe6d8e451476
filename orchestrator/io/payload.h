/* A file to a node, over an SSH session of its own (`receive`, docs/wire.md):
 * resumed where a cut left it, digest proved by the receiver, paced by caps and
 * by a byte budget per turn of the loop, so that other sessions stay quick.
 *
 *   waiting --> asking --> sending --> proving --> ended
 *      ^          |           |           |
 *      +----------+-----------+-----------+   connection lost: again, from where the receiver stands
 */
#ifndef PATCHWAVE_PAYLOAD_H
#define PATCHWAVE_PAYLOAD_H

#include "orchestrator/io/rate.h"
#include "orchestrator/io/ssh_target.h"
#include "schema/err.h"
#include "schema/times.h"

#include <stdbool.h>
#include <stdint.h>

struct ssh_pool;
struct payload;

struct payload_config {
    struct ssh_pool *pool;
    const struct ssh_target *target; /* must outlive the payload, like all strings here */
    const char *path;                /* the file here */
    const char *name;                /* its name there */
    const char *sha256;              /* 64 hex digits: what the receiver must find */
    uint64_t link_bytes_s;           /* cap of this transfer; 0: none */
    struct rate *fleet_rate;         /* cap shared with other payloads; NULL: none */
    dur_ms stall_ms;                 /* no byte moved that long: cut and begin again; 0: 30 s */
    dur_ms give_up_ms;               /* no progress over all attempts that long: the end; 0: 10 min */
    /* Bytes that went out of so many, resumed ones included; may be NULL. Also after a cut, when it may be less than before. */
    void (*on_progress)(void *arg, uint64_t sent_bytes, uint64_t size_bytes);
    /* Lost, and tried again in so long; for people; may be NULL. */
    void (*on_retry)(void *arg, const struct err *why, dur_ms retry_ms);
    /* Once, unless payload_cancel() came first; the payload is gone when it returns. `why` NULL: the node has
     * the file, proved (`had`: it had it before). Else CORRUPT, FULL, REFUSED and others as the receiver names them, AUTH, HOSTKEY,
     * TIMEOUT (gave up), IO (the file here), INVALID (it changed here). */
    void (*on_end)(void *arg, bool had, const struct err *why);
    void *arg;
};

/* Begins at once. No callback comes from inside. ERR_NOT_FOUND, ERR_IO, ERR_NOMEM. */
int payload_start(const struct payload_config *config, struct payload **ret_payload, struct err *err);
/* No callback after this; what the receiver has stays there for the next time. */
void payload_cancel(struct payload *p);

#endif
