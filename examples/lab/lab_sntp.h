/* The lab's time source: an SNTP server on a loopback port that tells the
 * machine's own time. A node's wrong clock is the node's affair (facts). */
#ifndef PATCHWAVE_LAB_SNTP_H
#define PATCHWAVE_LAB_SNTP_H

#include "schema/err.h"

#include <uv.h>

struct lab_sntp {
    uv_udp_t udp;
    char in[128];
    unsigned char out[48];
};

/* ERR_IO. The handle is closed with uv_close by the owner of the loop. */
int lab_sntp_start(uv_loop_t *loop, struct lab_sntp *s, const char *address, int port, struct err *err);

#endif
