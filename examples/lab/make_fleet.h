/* A fleet out of a seed. */
#ifndef PATCHWAVE_LAB_MAKE_FLEET_H
#define PATCHWAVE_LAB_MAKE_FLEET_H

#include "examples/lab/world.h"

struct fleet_wish {
    uint32_t nodes;
    int64_t seed, factor;
    bool mixed;     /* with VMs that cannot move */
    bool removable; /* the patch can be removed */
    char net[16];   /* "127.12.34": the nodes' addresses begin so */
    int64_t port;   /* of every node's sshd */
    time_ms anchor_ms;
};

/* Fill an empty world. ERR_INVALID (nodes out of range), ERR_NOMEM. */
int fleet_make(const struct fleet_wish *wish, struct world *w, struct err *err);

#endif
