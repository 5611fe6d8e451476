/* Ask many nodes for their host keys, some at a time. */
#ifndef PATCHWAVE_HOSTKEY_SCAN_H
#define PATCHWAVE_HOSTKEY_SCAN_H

#include "orchestrator/core/inventory.h"
#include "orchestrator/io/ssh_hostkeys.h"

struct scanned {
    uint32_t node;
    bool ok;
    struct ssh_hostkey key; /* when ok */
    struct err why;         /* else */
};
/* Fills `items[i]` for the node each names. Blocks until all are done. */
int hostkey_scan(const struct inventory *inv, struct scanned *items, uint32_t n, const char *default_user,
                 struct err *err);

#endif
