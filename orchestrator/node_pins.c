#include "orchestrator/node_pins.h"

#include "orchestrator/io/store_load.h"

#include <stdlib.h>

#define NAMED_MAX 5

int node_pins_read(struct store *s, const struct inventory *inv, struct ssh_hostkey **ret_pins,
                   struct err *err)
{
    struct ssh_hostkey *pins = calloc(inv->n_nodes + 1u, sizeof *pins);
    struct arena a = ARENA_INIT;
    const char *key;

    if (pins == NULL)
        return err_set(err, ERR_NOMEM, "host keys");
    for (uint32_t i = 0; i < inv->n_nodes; i++)
        if (store_find_hostkey(s, inv->nodes[i].id, &a, &key, NULL) == 0)
            (void)ssh_hostkey_parse(key, &pins[i],
                                    NULL); /* one that cannot be read is no pin: that node is refused */
    arena_clear(&a);
    *ret_pins = pins;
    return 0;
}

static bool touches(const struct plan *p, uint32_t node)
{
    for (uint32_t i = 0; i < p->n_nodes; i++)
        if (p->inv->nodes[p->nodes[i].node].cluster == p->inv->nodes[node].cluster)
            return true;
    return false;
}

int node_pins_check(const struct ssh_hostkey *pins, const struct plan *plan, struct err *err)
{
    struct buf missing = BUF_INIT;
    uint32_t n = 0;
    int rc = 0;

    for (uint32_t i = 0; i < plan->inv->n_nodes; i++)
        if (pins[i].fingerprint[0] == '\0' && touches(plan, i) && n++ < NAMED_MAX)
            buf_printf(&missing, "%s%s", n == 1 ? "" : ", ", plan->inv->nodes[i].id);
    if (n > 0)
        rc =
            err_set(err, ERR_HOSTKEY,
                    "%u nodes of the plan and its clusters are not enrolled (%s%s): `patchwave enroll --all`",
                    (unsigned)n, buf_text(&missing), n > NAMED_MAX ? ", ..." : "");
    buf_clear(&missing);
    return rc;
}
