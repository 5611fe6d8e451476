#include "orchestrator/cli.h"
#include "orchestrator/io/fleet_clock.h"
#include "orchestrator/io/render_rows.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_record.h"

#include <string.h>

static int import_file(const struct cli *c, const char *path, struct inventory **ret_inv,
                       char sha256[SHA256_TEXT], struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_doc *doc = NULL;
    int rc = cli_read_file(path, &text, err);

    (void)c;
    if (rc == 0)
        rc = json_parse(path, buf_text(&text), text.len, &doc, err);
    if (rc == 0)
        rc = inventory_read(doc, ret_inv, err);
    if (rc == 0)
        sha256_text(buf_text(&text), text.len, sha256);
    json_free(doc);
    buf_clear(&text);
    return rc;
}

static void say_imported(const struct cli *c, const struct inventory *inv)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    if (c->json) {
        jw_init(&w, &out);
        jw_object(&w, NULL);
        jw_str(&w, "inventory", inv->name);
        jw_int(&w, "clusters", inv->n_clusters);
        jw_int(&w, "nodes", inv->n_nodes);
        jw_int(&w, "vms", inv->n_vms);
        jw_object_end(&w);
        buf_char(&out, '\n');
    } else {
        buf_printf(&out, "imported %s: %u clusters, %u nodes, %u VMs%s\n", inv->name,
                   (unsigned)inv->n_clusters, (unsigned)inv->n_nodes, (unsigned)inv->n_vms,
                   inv->lab ? " (a lab: its figures are simulated)" : "");
    }
    cli_print(&out);
}

static int run_import(struct cli *c, int *ret_exit, struct err *err)
{
    const char *path = cli_operand(c, 0);
    struct inventory *inv = NULL;
    struct store *s = NULL;
    char sha256[SHA256_TEXT];
    int rc = import_file(c, path, &inv, sha256, err);

    (void)ret_exit;
    if (rc == 0)
        rc = store_open(c->db, STORE_WRITE, &s, err);
    if (rc == 0) {
        struct fleet_clock clock = fleet_clock_of(inv);
        struct record_by by = { c->person, fleet_now(&clock) };

        rc = store_put_inventory(s, inv, path, sha256, by, err);
    }
    if (rc == 0)
        say_imported(c, inv);
    store_close(s);
    inventory_free(inv);
    return rc;
}

static const char *const list_sql[] = {
    "SELECT id AS node, cluster, model, build, memory_mib, (SELECT count(*) FROM vms v WHERE v.node = n.id) "
    "AS vms, "
    "fault_domain, address FROM nodes n ORDER BY id",
    "SELECT id AS cluster, name, storage, witness, reserve, (SELECT count(*) FROM nodes n WHERE n.cluster = "
    "c.id) AS nodes, "
    "(SELECT count(*) FROM vms v WHERE v.cluster = c.id) AS vms, max_out, migrations_parallel FROM clusters "
    "c ORDER BY id",
    "SELECT id AS vm, name, cluster, node, assigned_mib, priority, sla FROM vms ORDER BY name, id",
};

static int run_list(struct cli *c, int *ret_exit, struct err *err)
{
    int which = cli_flag(c, "vms") ? 2 : cli_flag(c, "clusters") ? 1 : 0;
    struct store *s = NULL;
    struct rows r = { 0 };
    int rc = store_open(c->db, STORE_READ, &s, err);

    (void)ret_exit;
    if (rc == 0)
        rc = store_ask(s, &r, err, list_sql[which], "");
    if (rc == 0)
        cli_print_rows(c, &r, "no inventory yet: `patchwave inventory import FILE` takes one in");
    store_close(s);
    return rc;
}

static int run_show(struct cli *c, int *ret_exit, struct err *err)
{
    struct buf out = BUF_INIT;
    struct inventory *inv = NULL;
    struct store *s = NULL;
    struct json_writer w;
    int rc = store_open(c->db, STORE_READ, &s, err);

    (void)ret_exit;
    if (rc == 0)
        rc = store_load_inventory(s, &inv, err);
    if (rc == 0) {
        jw_init(&w, &out);
        w.pretty = true;
        inventory_write(&w, NULL, inv);
        buf_char(&out, '\n');
        cli_print(&out);
    }
    inventory_free(inv);
    store_close(s);
    return rc;
}

static const struct option list_options[] = {
    { "clusters", 0, OPTION_FLAG, NULL, "the clusters" },
    { "vms", 0, OPTION_FLAG, NULL, "the VMs and where they are" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_inventory_import = {
    "inventory", "import", "FILE",     1, 1, "take in an inventory file; it replaces the one before",
    NULL,        NULL,     run_import,
};
const struct command_spec cmd_inventory_list = {
    "inventory", "list", "", 0, 0, "list nodes, clusters or VMs", NULL, list_options, run_list,
};
const struct command_spec cmd_inventory_show = {
    "inventory", "show", "",       0, 0, "print the whole inventory as a file that can be imported",
    NULL,        NULL,   run_show,
};
