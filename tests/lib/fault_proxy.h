/* A TCP proxy that misbehaves on request: cuts, delays, half-open and slow
 * streams. Loopback only (127/8). Runs on a loop of the test's, or as a
 * program of its own (fault_proxy_main.c). */
#ifndef PATCHWAVE_TESTS_FAULT_PROXY_H
#define PATCHWAVE_TESTS_FAULT_PROXY_H

#include "orchestrator/io/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct fault_proxy;

/* What is done to the streams; may be changed at any time and holds for all connections. */
struct fault_proxy_faults {
    bool frozen;           /* connections stay, nothing passes (half-open) */
    bool refuse;           /* accept and close at once */
    uint64_t delay_ms;     /* each piece of data waits that long */
    uint64_t rate_bytes_s; /* each direction of each connection; 0: unbounded */
    uint64_t cut_after;    /* bytes of a connection (both directions) after which it is reset; 0: never */
};
struct fault_proxy_counts {
    uint64_t accepted, cut; /* ever */
    uint32_t live;
    uint32_t spoken; /* live ones whose client has sent anything */
    uint32_t spoken_max;
    uint64_t bytes; /* forwarded ever */
};

/* 0, or an errno-like code of libuv. An address outside 127/8 is refused (UV_EINVAL). */
int fault_proxy_new(struct loop *l, const char *address, uint16_t port, const char *to_address,
                    uint16_t to_port, struct fault_proxy **ret_proxy);
/* Closes everything in the loop's next turns. */
void fault_proxy_close(struct fault_proxy *p);
void fault_proxy_set(struct fault_proxy *p, const struct fault_proxy_faults *faults);
/* Reset all connections now. */
void fault_proxy_cut(struct fault_proxy *p);
struct fault_proxy_counts fault_proxy_counts(const struct fault_proxy *p);

#endif
