/* Ask the nodes what is there: the present inventory says where they are, and
 * what only people know (roles, service classes, limits); builds, memory, VMs
 * and cluster settings come from the nodes. Nothing is claimed. */
#include "orchestrator/cli.h"
#include "orchestrator/io/backend_live.h"
#include "orchestrator/io/node_target.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_record.h"
#include "orchestrator/node_pins.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SURVEY_LIMIT_MS ((dur_ms)20000)
#define ASK_LIMIT_MS (5 * MINUTE_MS) /* fleet time; the backend gives at least its own floor */

struct discover {
    struct cli *c;
    struct inventory *inv;
    struct plan plan; /* what the backend reaches: every node */
    struct ssh_hostkey *pins;
    struct loop *loop;
    struct backend_live *backend;
    struct arena arena;                /* of what was seen */
    const struct node_facts **facts;   /* per node; NULL: no answer */
    const struct cluster_view **views; /* per cluster */
    const struct event **pictures;     /* per cluster: the VMs */
    uint32_t waiting, silent;
    struct buf troubles;
};

/* --- asking --- */

static void ask(struct discover *d, enum observe_what what, uint32_t node, uint32_t cluster)
{
    struct command c = { .type = CMD_OBSERVE,
                         .node = node,
                         .cluster = cluster,
                         .receiver = IX_NONE,
                         .what = what,
                         .args = "{}",
                         .limit_ms = ASK_LIMIT_MS * (dur_ms)d->inv->clock_factor };
    struct backend *b = backend_live_backend(d->backend);

    d->waiting++;
    b->submit(b, &c);
}

static void trouble(struct discover *d, const char *who, const char *why)
{
    d->silent++;
    buf_printf(&d->troubles, "%s%s: %s", d->silent == 1 ? "" : "; ", who, why == NULL ? "no answer" : why);
}

/* The event ends with the call; its text and back again is a copy that stays. */
static const struct event *keep(struct discover *d, const struct event *ev)
{
    struct event *kept = ARENA_NEW(&d->arena, struct event);
    struct buf text = BUF_INIT;
    struct err err = { 0 };
    int rc = ERR_NOMEM;

    event_write(&text, ev, d->inv, NULL);
    if (kept != NULL && !text.failed)
        rc = event_read(buf_text(&text), text.len, d->inv, NULL, &d->arena, kept, &err);
    buf_clear(&text);
    return rc == 0 ? kept : NULL;
}

static void take_facts(struct discover *d, const struct event *ev)
{
    const struct event *kept = ev->u.observed.ok ? keep(d, ev) : NULL;

    if (kept == NULL)
        trouble(d, d->inv->nodes[ev->node].id, ev->u.observed.text);
    else
        d->facts[ev->node] = &kept->u.observed.facts;
}

static void take_picture(struct discover *d, const struct event *ev)
{
    const struct event *kept = ev->u.observed.ok ? keep(d, ev) : NULL;

    if (kept == NULL) {
        trouble(d, d->inv->clusters[ev->cluster].id, ev->u.observed.text);
        return;
    }
    d->views[ev->cluster] = &kept->u.observed.view;
    d->pictures[ev->cluster] = kept;
}

static void on_event(void *arg, const struct event *ev)
{
    struct discover *d = arg;

    if (ev->type != EV_OBSERVED)
        return;
    if (ev->u.observed.what == OBSERVE_FACTS)
        take_facts(d, ev);
    else
        take_picture(d, ev);
    if (--d->waiting == 0)
        loop_stop(d->loop);
}

static void on_surveyed(void *arg, const struct live_survey *s)
{
    struct discover *d = arg;

    (void)s;
    d->waiting = 1; /* ours, until all is asked */
    for (uint32_t i = 0; i < d->inv->n_nodes; i++)
        ask(d, OBSERVE_FACTS, i, IX_NONE);
    for (uint32_t i = 0; i < d->inv->n_clusters; i++)
        if (d->inv->clusters[i].n_nodes > 0)
            ask(d, OBSERVE_CLUSTER, d->inv->clusters[i].nodes[0], i);
    if (--d->waiting == 0)
        loop_stop(d->loop);
}

static struct log_position no_position(void *arg)
{
    (void)arg;
    return (struct log_position){ 0 };
}

static bool holds_all(void *arg, uint64_t seq, const char *hash)
{
    (void)arg; /* only looked at, nothing is claimed */
    (void)seq;
    (void)hash;
    return true;
}

static void on_closed(void *arg)
{
    loop_stop(arg);
}

static int ask_all(struct discover *d, struct err *err)
{
    struct live_setup setup = {
        .plan = &d->plan,
        .clock = fleet_clock_of(d->inv),
        .pins = d->pins,
        .default_user = options_text(&d->c->args, "user", node_default_user()),
        .position = no_position,
        .log_holds = holds_all,
        .on_event = on_event,
        .arg = d,
    };
    int rc = loop_new(&d->loop, err);

    if (rc != 0)
        return rc;
    rc = backend_live_new(d->loop, &setup, &d->backend, err);
    if (rc == 0) {
        backend_live_survey(d->backend, SURVEY_LIMIT_MS, on_surveyed);
        loop_run(d->loop);
        backend_live_close(d->backend, on_closed, d->loop);
        loop_run(d->loop);
    }
    loop_free(d->loop);
    return rc;
}

/* --- putting it together --- */

static void merge_node(struct node *n, const struct node_facts *f)
{
    if (f == NULL)
        return;
    n->model = f->model;
    n->firmware = f->firmware;
    n->machine_id = f->machine_id;
    n->bmc = f->bmc != NULL ? f->bmc : n->bmc;
    n->time_source = f->time_source != NULL ? f->time_source : n->time_source;
    n->build = facts_level(f);
    n->applies_article = f->applies_article;
    n->applies_microsoft = f->applies_microsoft;
    n->memory_mib = f->memory_mib;
    /* O22: a driver that cannot tell (0) leaves a careful guess: a sixteenth */
    n->host_reserve_mib = f->host_reserve_mib > 0 ? f->host_reserve_mib : f->memory_mib / 16;
    n->cpus = f->cpus;
    n->switches = f->switches;
    n->n_switches = f->n_switches;
}

static void merge_cluster(struct discover *d, struct cluster *c, const struct cluster_view *v,
                          struct node *nodes)
{
    if (v == NULL)
        return;
    c->storage = v->s2d ? STORAGE_S2D : STORAGE_SHARED;
    c->witness = v->witness;
    c->enforced_anti_affinity = v->enforced_anti_affinity;
    c->stretched = v->stretched;
    c->migrations_parallel = v->max_parallel_migrations;
    c->bandwidth_mib_s = v->bandwidth_mib_s;
    for (uint32_t i = 0; i < v->n_nodes; i++) {
        uint32_t at = inventory_node(d->inv, v->nodes[i].id);

        if (at == IX_NONE) {
            trouble(d, v->nodes[i].id, "is in the cluster and not in the inventory: add it with its address");
            continue;
        }
        nodes[at].vote = v->nodes[i].vote;
        if (v->nodes[i].fault_domain != NULL)
            nodes[at].fault_domain = v->nodes[i].fault_domain;
    }
}

/* A VM as its node tells it; what only the inventory knows stays. */
static void merge_vm(struct discover *d, struct vm *ret, const struct vm_seen *seen, uint32_t cluster,
                     uint32_t node)
{
    uint32_t known = inventory_vm(d->inv, seen->vm.id);
    uint32_t *owners = ARENA_ARRAY(&d->arena, uint32_t, seen->n_owner_ids + 1), n = 0;

    *ret = seen->vm;
    ret->cluster = cluster;
    ret->home = node;
    for (uint32_t i = 0; owners != NULL && i < seen->n_owner_ids; i++) {
        owners[n] = inventory_node(d->inv, seen->owner_ids[i]);
        n += owners[n] != IX_NONE;
    }
    ret->owners = owners;
    ret->n_owners = n;
    if (known == IX_NONE)
        return;
    ret->role = d->inv->vms[known].role;
    ret->sla = d->inv->vms[known].sla;
    if (ret->dirty_mib_s < 0)
        ret->dirty_mib_s = d->inv->vms[known].dirty_mib_s;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct vm *)a)->id, ((const struct vm *)b)->id);
}

static uint32_t count_vms(const struct discover *d)
{
    uint32_t n = 0;

    for (uint32_t c = 0; c < d->inv->n_clusters; c++)
        for (uint32_t i = 0; d->pictures[c] != NULL && i < d->pictures[c]->u.observed.n_vms_nodes; i++)
            n += d->pictures[c]->u.observed.vms[i].n;
    return n;
}

static int merge_vms(struct discover *d, struct inventory *out, struct err *err)
{
    out->vms = ARENA_ARRAY(&d->arena, struct vm, count_vms(d) + 1);
    out->n_vms = 0;
    if (out->vms == NULL)
        return err_set(err, ERR_NOMEM, "discover");
    for (uint32_t c = 0; c < d->inv->n_clusters; c++) {
        const struct event *ev = d->pictures[c];

        for (uint32_t i = 0; ev != NULL && i < ev->u.observed.n_vms_nodes; i++)
            for (uint32_t v = 0; v < ev->u.observed.vms[i].n; v++)
                merge_vm(d, &out->vms[out->n_vms++], &ev->u.observed.vms[i].items[v], c,
                         ev->u.observed.vms_nodes[i]);
    }
    qsort(out->vms, out->n_vms, sizeof *out->vms, by_id);
    return 0;
}

/* The text is read back before anybody sees it: what is printed can be imported. */
static int write_found(struct discover *d, struct buf *text, struct inventory **ret_inv, struct err *err)
{
    struct inventory out = *d->inv;
    struct json_doc *doc = NULL;
    struct json_writer w;
    int rc;

    out.nodes = ARENA_ARRAY(&d->arena, struct node, out.n_nodes + 1);
    out.clusters = ARENA_ARRAY(&d->arena, struct cluster, out.n_clusters + 1);
    if (out.nodes == NULL || out.clusters == NULL)
        return err_set(err, ERR_NOMEM, "discover");
    memcpy(out.nodes, d->inv->nodes, out.n_nodes * sizeof *out.nodes);
    memcpy(out.clusters, d->inv->clusters, out.n_clusters * sizeof *out.clusters);
    for (uint32_t i = 0; i < out.n_nodes; i++)
        merge_node(&out.nodes[i], d->facts[i]);
    for (uint32_t i = 0; i < out.n_clusters; i++)
        merge_cluster(d, &out.clusters[i], d->views[i], out.nodes);
    rc = merge_vms(d, &out, err);
    if (rc != 0)
        return rc;
    jw_init(&w, text);
    w.pretty = true;
    inventory_write(&w, NULL, &out);
    buf_char(text, '\n');
    rc = json_parse("discovered", buf_text(text), text->len, &doc, err);
    if (rc == 0)
        rc = inventory_read(doc, ret_inv, err);
    json_free(doc);
    return rc;
}

/* --- the command --- */

static int prepare(struct discover *d, struct store *s, struct err *err)
{
    int rc = store_load_inventory(s, &d->inv, err);

    if (rc == 0)
        rc = node_pins_read(s, d->inv, &d->pins, err);
    if (rc != 0)
        return rc;
    d->facts = ARENA_ARRAY(&d->arena, const struct node_facts *, d->inv->n_nodes + 1);
    d->views = ARENA_ARRAY(&d->arena, const struct cluster_view *, d->inv->n_clusters + 1);
    d->pictures = ARENA_ARRAY(&d->arena, const struct event *, d->inv->n_clusters + 1);
    d->plan.nodes = ARENA_ARRAY(&d->arena, struct plan_node, d->inv->n_nodes + 1);
    if (!d->facts || !d->views || !d->pictures || !d->plan.nodes)
        return err_set(err, ERR_NOMEM, "discover");
    d->plan.inv = d->inv;
    d->plan.n_nodes = d->inv->n_nodes;
    for (uint32_t i = 0; i < d->inv->n_nodes; i++)
        d->plan.nodes[i].node = i;
    return 0;
}

static int take_in(const struct cli *c, const struct inventory *inv, const struct buf *text, struct err *err)
{
    struct fleet_clock clock = fleet_clock_of(inv);
    struct record_by by = { c->person, fleet_now(&clock) };
    struct store *s = NULL;
    char sha256[SHA256_TEXT];
    int rc = store_open(c->db, STORE_WRITE, &s, err);

    if (rc == 0)
        rc = store_put_inventory(s, inv, "(discovered)", sha256_text(buf_text(text), text->len, sha256), by,
                                 err);
    store_close(s);
    return rc;
}

static int give(struct discover *d, const struct inventory *found, struct buf *text, struct err *err)
{
    struct buf out = BUF_INIT;
    int rc = 0;

    assert(found != NULL); /* write_found() read it back */
    if (cli_text(d->c, "out") != NULL)
        rc = cli_write_file(cli_text(d->c, "out"), text, err);
    if (rc == 0 && cli_flag(d->c, "import"))
        rc = take_in(d->c, found, text, err);
    if (rc != 0)
        return rc;
    if (cli_text(d->c, "out") == NULL && !cli_flag(d->c, "import")) {
        buf_str(&out, buf_text(text));
    } else if (d->c->json) {
        buf_printf(&out, "{\"nodes\":%u,\"vms\":%u}\n", (unsigned)found->n_nodes, (unsigned)found->n_vms);
    } else {
        buf_printf(&out, "found %u nodes in %u clusters, %u VMs\n", (unsigned)found->n_nodes,
                   (unsigned)found->n_clusters, (unsigned)found->n_vms);
    }
    cli_print(&out);
    return 0;
}

static int run_discover(struct cli *c, int *ret_exit, struct err *err)
{
    struct discover d = { .c = c };
    struct inventory *found = NULL;
    struct buf text = BUF_INIT;
    struct store *s = NULL;
    int rc = store_open(c->db, STORE_READ, &s, err);

    (void)ret_exit;
    if (rc == 0)
        rc = prepare(&d, s, err);
    store_close(s);
    if (rc == 0)
        rc = ask_all(&d, err);
    if (rc == 0)
        rc = write_found(&d, &text, &found, err);
    /* Half a picture would plan VMs away: all answer, or nothing is given. */
    if (rc == 0 && d.silent > 0)
        rc = err_set(err, ERR_CONNECT, "%s", buf_text(&d.troubles));
    if (rc == 0)
        rc = give(&d, found, &text, err);
    buf_clear(&text);
    buf_clear(&d.troubles);
    inventory_free(found);
    free(d.pins);
    arena_clear(&d.arena);
    inventory_free(d.inv);
    return rc == 0 ? 0 : err_wrap(err, "discover");
}

static const struct option discover_options[] = {
    { "out", 'o', OPTION_TEXT, "FILE", "write the inventory there (else to standard output)" },
    { "import", 0, OPTION_FLAG, NULL, "take it in at once" },
    { "user", 0, OPTION_TEXT, "NAME", "the SSH user where the inventory names none" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_inventory_discover = {
    "inventory",
    "discover",
    "",
    0,
    0,
    "ask the enrolled nodes what is there, and make an inventory of it",
    "The present inventory says where the nodes are and what only people know (roles, service\n"
    "classes, limits). Builds, memory, VMs and cluster settings come from the nodes.",
    discover_options,
    run_discover,
};
