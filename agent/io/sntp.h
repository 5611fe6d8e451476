/* SNTP client (RFC 4330) for observe time_sync: how far is this node's clock
 * from each server's? The best sample is the one with the least delay. */
#ifndef PATCHWAVE_SNTP_H
#define PATCHWAVE_SNTP_H

#include "schema/buf.h"
#include "schema/err.h"

#include <uv.h>

struct sntp;
/* `text`: {"servers":[...]} as docs/wire.md has it, valid until it returns; NULL with `why`. */
typedef void (*sntp_done)(void *owner, uint32_t query, const char *text, const struct err *why);

int sntp_new(uv_loop_t *loop, void *owner, sntp_done done, struct sntp **ret_sntp, struct err *err);
/* Ends all queries without callbacks; the loop must run once more. */
void sntp_free(struct sntp *s);
/* `args`: {"servers":["name:port"],"samples":4,"timeout_ms":1000}, checked before; names or addresses. `error_ms`
 * is added to the node's own readings (a lab's clock error). `done` comes later,
 * never from inside. */
void sntp_query(struct sntp *s, const char *args, int64_t error_ms, uint32_t query);

/* One packet, without a network: for the client and for tests. */
#define SNTP_PACKET 48
struct sntp_sample {
    int64_t offset_us, delay_us;
    int stratum, leap;
    char ref_id[16];
    char why[16]; /* "" when it is good */
};
void sntp_request_write(uint8_t out[SNTP_PACKET], const uint8_t nonce[8]);
/* `t1_us`, `t4_us`: the node's clock when it was sent and when the answer came. */
void sntp_reply_read(const uint8_t *packet, size_t len, const uint8_t nonce[8], int64_t t1_us, int64_t t4_us,
                     struct sntp_sample *ret);

#endif
