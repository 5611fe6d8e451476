#include "examples/lab/world_store.h"

#include "schema/buf.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct field {
    const char *name;
    bool text;
    size_t offset, size;
};
#define TEXT(s, f)                                                  \
    {                                                               \
#f, true, offsetof(struct s, f), sizeof(((struct s *)0)->f) \
    }
#define NUM(s, f)                                                    \
    {                                                                \
#f, false, offsetof(struct s, f), sizeof(((struct s *)0)->f) \
    }

static const struct field meta_fields[] = {
    TEXT(world_meta, name), NUM(world_meta, seed),      NUM(world_meta, factor),
    NUM(world_meta, build), NUM(world_meta, anchor_ms), NUM(world_meta, removable),
};
#define C(f) NUM(world_cluster, f)
static const struct field cluster_fields[] = {
    TEXT(world_cluster, id),
    TEXT(world_cluster, name),
    C(s2d),
    TEXT(world_cluster, witness),
    TEXT(world_cluster, witness_state),
    C(parallel),
    C(bandwidth_mib_s),
    C(move_type_threshold),
    C(auto_balancer_mode),
    C(quarantine_threshold),
    C(enforced_anti_affinity),
    C(rack_aware),
    C(cau_active),
    C(max_out),
    TEXT(world_cluster, reserve),
    C(first_node),
    C(nodes),
    C(lost),
    C(repair_queued),
    C(repair_from),
    C(repair_until),
    C(repair_bytes),
    C(repairs),
    C(gen),
};
#define N(f) NUM(world_node, f)
static const struct field node_fields[] = {
    TEXT(world_node, id),
    N(cluster),
    TEXT(world_node, address),
    N(port),
    N(sntp_port),
    TEXT(world_node, model),
    TEXT(world_node, firmware),
    TEXT(world_node, bmc),
    TEXT(world_node, machine_id),
    TEXT(world_node, fault_domain),
    N(memory_mib),
    N(memory_now_mib),
    N(host_reserve_mib),
    N(cpus),
    N(free_disk_bytes),
    N(storage_paths),
    N(vote),
    N(install_factor),
    N(reboot_factor),
    N(migrate_factor),
    N(resync_factor),
    N(power),
    N(member),
    N(paused),
    N(pausing),
    N(resuming),
    N(drain_shown),
    N(quarantined_until),
    N(joined_ms),
    N(left_ms[0]),
    N(left_ms[1]),
    N(left_ms[2]),
    TEXT(world_node, boot_id),
    N(boot_ms),
    N(off_ms),
    N(boots),
    N(gen),
    N(vmms),
    N(vmms_answers),
    N(vmms_since),
    N(vmms_stopped_ms),
    N(backup),
    N(backup_silent),
    N(ubr),
    N(base_ubr),
    N(mark_cbs),
    N(mark_packages),
    N(mark_xml),
    N(mark_wu),
    N(servicing),
    N(servicing_package),
    N(servicing_from),
    N(servicing_until),
    N(servicing_exit),
    TEXT(world_node, servicing_error),
    N(servicing_wusa),
    N(services),
    N(reboot_again),
    N(storage_out),
    N(storage_entering),
    N(storage_leaving),
    N(storage_out_ms),
    N(missed_writes),
    N(nic_down),
    N(bitlocker_suspended),
    N(clock_error_ms),
    N(draws),
};
#define V(f) NUM(world_vm, f)
#define VT(f) TEXT(world_vm, f)
static const struct field vm_fields[] = {
    VT(id),
    VT(group),
    VT(name),
    V(cluster),
    V(node),
    V(home),
    V(state),
    V(since),
    V(started_ms),
    V(clustered),
    V(assigned_mib),
    V(startup_mib),
    V(maximum_mib),
    V(cpus),
    V(dirty_mib_s),
    V(priority),
    V(dynamic),
    VT(isolation),
    V(dda),
    V(gpu),
    V(local_disk),
    V(passthrough),
    V(shared_disk),
    V(cpu_compat),
    V(auto_failback),
    V(replication),
    V(key_protector),
    VT(iso),
    VT(anti_affinity),
    VT(version),
    VT(stop_action),
    VT(start_action),
    VT(role),
    VT(sla),
    V(possible),
    V(preferred),
    VT(busy),
    V(was_running),
    V(wanted_online),
    V(heartbeat_lost),
    V(heartbeat_from),
    VT(checkpoint),
    V(stop_asked_ms),
    V(running_ms),
    V(stop_cause),
    V(move_to),
    V(move_how),
    V(move_running),
    V(move_fails),
    V(move_foreign),
    V(move_from),
    V(move_until),
    V(moved_last_from),
    V(blackout_ms),
    V(blackout_end),
    V(blackout_logged),
    VT(move_error),
    V(moves),
    V(gen),
    V(open_truth),
};
static const struct field group_fields[] = {
    TEXT(world_group, id),        TEXT(world_group, name),     NUM(world_group, cluster),
    NUM(world_group, owner),      NUM(world_group, type),      NUM(world_group, healthy),
    NUM(world_group, redirected), NUM(world_group, moving_to), NUM(world_group, asked_ms),
    NUM(world_group, asked_from),
};
static const struct field disk_fields[] = {
    TEXT(world_disk, id),
    TEXT(world_disk, name),
    NUM(world_disk, cluster),
};
static const struct field package_fields[] = {
    NUM(world_package, node), TEXT(world_package, kb),   NUM(world_package, build),
    NUM(world_package, ubr),  NUM(world_package, state), NUM(world_package, permanent),
};
static const struct field log_fields[] = {
    NUM(world_log, node), NUM(world_log, at),    TEXT(world_log, channel), TEXT(world_log, provider),
    NUM(world_log, id),   NUM(world_log, level), TEXT(world_log, service), TEXT(world_log, depends_on),
};
static const struct field truth_fields[] = {
    TEXT(world_truth, subject), TEXT(world_truth, id),  NUM(world_truth, cause),   NUM(world_truth, start),
    NUM(world_truth, end),      NUM(world_truth, node), NUM(world_truth, foreign),
};
static const struct field damage_fields[] = {
    NUM(world_damage, at),
    TEXT(world_damage, what),
    TEXT(world_damage, subject),
    TEXT(world_damage, detail),
};
static const struct field effect_fields[] = {
    NUM(world_effect, at),       TEXT(world_effect, what), TEXT(world_effect, op),
    TEXT(world_effect, subject), NUM(world_effect, node),  NUM(world_effect, active_vms),
};
static const struct field fault_fields[] = {
    TEXT(world_fault, name), TEXT(world_fault, subject), TEXT(world_fault, arg),
    NUM(world_fault, left),  NUM(world_fault, hits),     NUM(world_fault, applied),
};
static const struct field event_fields[] = {
    NUM(world_event, at),    NUM(world_event, seq), NUM(world_event, type),
    NUM(world_event, index), NUM(world_event, gen), NUM(world_event, arg),
};

/* Every list begins {items, n, cap}; this is how they are reached alike. */
struct any_list LIST_OF(void);

static const struct table {
    const char *name;
    const struct field *fields;
    size_t n_fields, size, offset;
} tables[] = {
#define TABLE(name, prefix, member)                                                    \
    {                                                                                  \
        name, prefix##_fields, sizeof prefix##_fields / sizeof prefix##_fields[0],     \
            sizeof(*((struct world *)0)->member.items), offsetof(struct world, member) \
    }
    TABLE("clusters", cluster, clusters),
    TABLE("nodes", node, nodes),
    TABLE("vms", vm, vms),
    TABLE("groups", group, groups),
    TABLE("disks", disk, disks),
    TABLE("packages", package, packages),
    TABLE("logs", log, logs),
    TABLE("truth", truth, truth),
    TABLE("damage", damage, damage),
    TABLE("effects", effect, effects),
    TABLE("faults", fault, faults),
    TABLE("queue", event, queue),
};
#define TABLES (sizeof tables / sizeof tables[0])

/* Whoever opens a file first or closes it last has it alone for a moment, and the command line reads the world while the
 * daemon comes and goes: the others wait for their turn. */
#define TURN_MS 30000

struct world_store {
    sqlite3 *db;
    bool unsure; /* a save failed: what `seen` says may not stand in the file */
    struct {
        sqlite3_stmt *put;
        unsigned char *seen; /* the rows as last written */
        uint32_t n;
    } t[TABLES];
};

static int failed(struct world_store *s, const char *what, struct err *err)
{
    return err_set(err, ERR_IO, "%s: %s", what, sqlite3_errmsg(s->db));
}

static int run(struct world_store *s, const char *sql, struct err *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(s, sql, err);
}

static int create(struct world_store *s, const char *name, const struct field *f, size_t n, struct err *err)
{
    struct buf b = BUF_INIT;
    int rc;

    buf_printf(&b, "CREATE TABLE IF NOT EXISTS %s (row INTEGER PRIMARY KEY", name);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, ", \"%s\" %s", f[i].name, f[i].text ? "TEXT" : "INTEGER");
    buf_str(&b, ")");
    rc = run(s, buf_text(&b), err);
    buf_clear(&b);
    return rc;
}

static int prepare_put(struct world_store *s, const char *name, size_t n, sqlite3_stmt **ret, struct err *err)
{
    struct buf b = BUF_INIT;
    int rc = 0;

    buf_printf(&b, "INSERT OR REPLACE INTO %s VALUES (?", name);
    for (size_t i = 0; i < n; i++)
        buf_str(&b, ",?");
    buf_str(&b, ")");
    if (sqlite3_prepare_v2(s->db, buf_text(&b), -1, ret, NULL) != SQLITE_OK)
        rc = failed(s, buf_text(&b), err);
    buf_clear(&b);
    return rc;
}

int world_store_open(const char *path, struct world_store **ret_store, struct err *err)
{
    struct world_store *s = calloc(1, sizeof *s);
    int rc = 0;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "open the world");
    if (sqlite3_open(path, &s->db) != SQLITE_OK)
        rc = failed(s, path, err);
    if (rc == 0)
        sqlite3_busy_timeout(s->db, TURN_MS);
    if (rc == 0)
        rc = run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF", err);
    if (rc == 0)
        rc = create(s, "meta", meta_fields, sizeof meta_fields / sizeof meta_fields[0], err);
    for (size_t i = 0; rc == 0 && i < TABLES; i++) {
        rc = create(s, tables[i].name, tables[i].fields, tables[i].n_fields, err);
        if (rc == 0)
            rc = prepare_put(s, tables[i].name, tables[i].n_fields, &s->t[i].put, err);
    }
    if (rc != 0) {
        world_store_close(s);
        return err_wrap(err, "open the world");
    }
    *ret_store = s;
    return 0;
}

/* --- one row --- */

static int64_t number_at(const unsigned char *at, size_t size)
{
    int64_t big;
    int32_t word;

    if (size == 1)
        return *at;
    if (size == sizeof word) {
        memcpy(&word, at, sizeof word);
        return word;
    }
    memcpy(&big, at, sizeof big);
    return big;
}

static void number_to(unsigned char *at, size_t size, int64_t v)
{
    int32_t word = (int32_t)v;

    if (size == 1)
        *at = (unsigned char)(v != 0);
    else if (size == sizeof word)
        memcpy(at, &word, sizeof word);
    else
        memcpy(at, &v, sizeof v);
}

static int put_row(struct world_store *s, sqlite3_stmt *q, uint32_t row, const struct field *f, size_t n,
                   const unsigned char *item, struct err *err)
{
    sqlite3_bind_int64(q, 1, row);
    for (size_t i = 0; i < n; i++) {
        if (f[i].text)
            sqlite3_bind_text(q, (int)i + 2, (const char *)item + f[i].offset, -1, SQLITE_STATIC);
        else
            sqlite3_bind_int64(q, (int)i + 2, number_at(item + f[i].offset, f[i].size));
    }
    int rc = sqlite3_step(q);
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? 0 : failed(s, "save the world", err);
}

static void get_row(sqlite3_stmt *q, const struct field *f, size_t n, unsigned char *item)
{
    for (size_t i = 0; i < n; i++) {
        if (f[i].text) {
            const unsigned char *text = sqlite3_column_text(q, (int)i + 1);
            snprintf((char *)item + f[i].offset, f[i].size, "%s", text == NULL ? "" : (const char *)text);
        } else {
            number_to(item + f[i].offset, f[i].size, sqlite3_column_int64(q, (int)i + 1));
        }
    }
}

/* --- tables --- */

static int save_table(struct world_store *s, size_t t, const struct world *w, struct err *err)
{
    const struct table *tab = &tables[t];
    const struct any_list *l = (const void *)((const unsigned char *)w + tab->offset);
    const unsigned char *items = l->items;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < l->n; i++)
        if (s->unsure || i >= s->t[t].n ||
            memcmp(items + i * tab->size, s->t[t].seen + i * tab->size, tab->size) != 0)
            rc = put_row(s, s->t[t].put, i, tab->fields, tab->n_fields, items + i * tab->size, err);
    if (rc == 0 && (s->unsure || s->t[t].n > l->n)) {
        char sql[96];
        snprintf(sql, sizeof sql, "DELETE FROM %s WHERE row >= %u", tab->name, l->n);
        rc = run(s, sql, err);
    }
    if (rc != 0 || l->n == 0) {
        s->t[t].n = rc == 0 ? 0 : s->t[t].n;
        return rc;
    }
    unsigned char *seen = realloc(s->t[t].seen, l->n * tab->size);
    if (seen == NULL)
        return err_set(err, ERR_NOMEM, "save the world");
    memcpy(seen, items, l->n * tab->size);
    s->t[t].seen = seen;
    s->t[t].n = l->n;
    return 0;
}

static int save_meta(struct world_store *s, const struct world *w, struct err *err)
{
    size_t n = sizeof meta_fields / sizeof meta_fields[0];
    sqlite3_stmt *q = NULL;
    int rc = prepare_put(s, "meta", n, &q, err);

    if (rc == 0)
        rc = put_row(s, q, 0, meta_fields, n, (const unsigned char *)&w->meta, err);
    sqlite3_finalize(q);
    return rc;
}

int world_store_save(struct world_store *s, const struct world *w, struct err *err)
{
    int rc = run(s, "BEGIN", err);

    if (rc == 0)
        rc = save_meta(s, w, err);
    for (size_t t = 0; rc == 0 && t < TABLES; t++)
        rc = save_table(s, t, w, err);
    if (rc == 0)
        rc = run(s, "COMMIT", err);
    if (rc != 0)
        (void)run(s, "ROLLBACK", NULL);
    s->unsure = rc != 0;
    return rc;
}

static int load_table(struct world_store *s, size_t t, struct world *w, struct err *err)
{
    const struct table *tab = &tables[t];
    struct any_list *l = (void *)((unsigned char *)w + tab->offset);
    sqlite3_stmt *q = NULL;
    char sql[96];
    int rc;

    snprintf(sql, sizeof sql, "SELECT * FROM %s ORDER BY row", tab->name);
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
        return failed(s, sql, err);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        if (!list_grow(&l->items, l->n, &l->cap, tab->size))
            break;
        unsigned char *item = list_zeroed((unsigned char *)l->items + l->n * tab->size, tab->size);
        get_row(q, tab->fields, tab->n_fields, item);
        l->n++;
    }
    sqlite3_finalize(q);
    return rc == SQLITE_DONE ? 0 : err_set(err, ERR_NOMEM, "load the world");
}

static int load_meta(struct world_store *s, struct world *w, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = 0;

    if (sqlite3_prepare_v2(s->db, "SELECT * FROM meta", -1, &q, NULL) != SQLITE_OK)
        return failed(s, "load the world", err);
    if (sqlite3_step(q) == SQLITE_ROW)
        get_row(q, meta_fields, sizeof meta_fields / sizeof meta_fields[0], (unsigned char *)&w->meta);
    else
        rc = err_set(err, ERR_NOT_FOUND, "there is no world in this file: hvlab make");
    sqlite3_finalize(q);
    return rc;
}

int world_store_load(struct world_store *s, struct world *w, struct err *err)
{
    int rc = load_meta(s, w, err);

    for (size_t t = 0; rc == 0 && t < TABLES; t++)
        rc = load_table(s, t, w, err);
    for (uint32_t i = 0; i < w->queue.n; i++)
        if (w->queue.items[i].seq >= w->next_seq)
            w->next_seq = w->queue.items[i].seq + 1;
    w->now = w->meta.anchor_ms;
    return rc;
}

void world_store_close(struct world_store *s)
{
    if (s == NULL)
        return;
    for (size_t t = 0; t < TABLES; t++) {
        sqlite3_finalize(s->t[t].put);
        free(s->t[t].seen);
    }
    sqlite3_close(s->db);
    free(s);
}
