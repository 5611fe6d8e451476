#include "orchestrator/cli.h"

static int run_init(struct cli *c, int *ret_exit, struct err *err)
{
    struct buf out = BUF_INIT;
    int rc = store_create(c->db, err);

    (void)ret_exit;
    if (rc != 0)
        return rc;
    if (c->json)
        buf_printf(&out, "{\"created\":true}\n");
    else
        buf_printf(&out, "created %s\nnext: patchwave inventory import FILE\n", c->db);
    cli_print(&out);
    return 0;
}

const struct command_spec cmd_init = { NULL, "init", "", 0, 0, "make a new database", NULL, NULL, run_init };
