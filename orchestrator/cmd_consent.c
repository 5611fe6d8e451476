#include "orchestrator/cli.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_record.h"
#include "schema/ids.h"

#include <string.h>

/* By GUID, or by a name that only one VM has. */
static int find_vm(const struct inventory *inv, const char *which, const char **ret_id, struct err *err)
{
    uint32_t found = id_is_guid(which) ? inventory_vm(inv, which) : IX_NONE, n = 0;

    for (uint32_t i = 0; found == IX_NONE && i < inv->n_vms; i++)
        n += strcmp(inv->vms[i].name, which) == 0;
    if (n > 1)
        return err_set(err, ERR_INVALID,
                       "%u VMs are called \"%s\": give the GUID (`patchwave inventory list --vms`)",
                       (unsigned)n, which);
    for (uint32_t i = 0; n == 1 && i < inv->n_vms; i++)
        if (strcmp(inv->vms[i].name, which) == 0)
            found = i;
    if (found == IX_NONE)
        return err_set(err, ERR_NOT_FOUND, "no VM \"%s\" in the inventory", which);
    *ret_id = inv->vms[found].id;
    return 0;
}

static int fill(const struct cli *c, const struct inventory *inv, time_ms now, struct consent *ret,
                struct err *err)
{
    const char *method = options_text(&c->args, "method", "shutdown");

    *ret = (struct consent){ .person = c->person,
                             .ticket = cli_text(c, "ticket"),
                             .checkpoint = cli_flag(c, "checkpoint") };
    if (strcmp(method, "shutdown") != 0 && strcmp(method, "save") != 0)
        return err_set(err, ERR_INVALID, "--method is shutdown or save, not \"%s\"", method);
    ret->method = strcmp(method, "save") == 0 ? PARK_SAVE : PARK_SHUTDOWN;
    ret->expires = now + options_number(&c->args, "expires", 7 * DAY_MS);
    if (ret->ticket == NULL)
        return err_set(err, ERR_INVALID, "--ticket: a consent names its ticket (O34)");
    return find_vm(inv, cli_operand(c, 0), &ret->vm, err);
}

static int run_add(struct cli *c, int *ret_exit, struct err *err)
{
    struct inventory *inv = NULL;
    struct store *s = NULL;
    struct consent consent;
    struct buf out = BUF_INIT;
    time_ms now = 0;
    int rc = store_open(c->db, STORE_WRITE, &s, err);

    (void)ret_exit;
    if (rc == 0)
        rc = store_load_inventory(s, &inv, err);
    if (rc == 0) {
        now = store_fleet_now(s);
        rc = fill(c, inv, now, &consent, err);
    }
    if (rc == 0)
        rc = store_put_consent(s, &consent, now, err);
    if (rc == 0) {
        if (c->json)
            buf_printf(&out, "{\"vm\":\"%s\"}\n", consent.vm);
        else
            buf_printf(&out, "consent recorded: %s may be stopped by %s\n", consent.vm,
                       consent.method == PARK_SAVE ? "saving its state" : "a guest shutdown");
        cli_print(&out);
    }
    inventory_free(inv);
    store_close(s);
    return rc;
}

static int run_list(struct cli *c, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return cli_list(c,
                    "SELECT c.vm, v.name, c.method, c.checkpoint, c.person, c.ticket, c.expires AS "
                    "expires_at FROM consents c "
                    "LEFT JOIN vms v ON v.id = c.vm ORDER BY v.name, c.vm",
                    "no consent recorded", err);
}

static const struct option add_options[] = {
    { "ticket", 0, OPTION_TEXT, "NUMBER", "the ticket that carries the owner's word" },
    { "method", 0, OPTION_TEXT, "HOW", "shutdown (default) or save (O4)" },
    { "checkpoint", 0, OPTION_FLAG, NULL, "with a checkpoint, merged before the node counts as done" },
    { "expires", 0, OPTION_DURATION, "TIME", "how long it holds (default 7d)" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_consent_add = {
    "consent", "add",       "VM",    1, 1, "record that a VM which cannot move may be stopped",
    NULL,      add_options, run_add,
};
const struct command_spec cmd_consent_list = { "consent",       "list", "",   0,       0,
                                               "list consents", NULL,   NULL, run_list };
