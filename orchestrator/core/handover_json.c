/* A handover as JSON: a table per record serves writer and reader alike. */
#include "orchestrator/core/event_names.h"
#include "orchestrator/core/fields.h"
#include "orchestrator/core/handover.h"
#include "orchestrator/core/rollout_names.h"

#include <string.h>

#define TIME_MAX_SUM ((int64_t)1 << 53)

enum part_kind {
    PART_TIME,
    PART_U64,
    PART_U32,
    PART_BOOL,
    PART_TEXT,
    PART_NODE,
    PART_CLUSTER,
    PART_WORD,
    PART_BUILD
};

struct part {
    const char *key;
    enum part_kind kind;
    size_t at;
    const char *(*word)(uint32_t i); /* PART_WORD */
    uint32_t words;
};

static const char *word_phase(uint32_t i)
{
    return node_phases[i].name;
}
static const char *word_end(uint32_t i)
{
    return node_end_names[i];
}
static const char *word_run(uint32_t i)
{
    return run_states[i].name;
}
static const char *word_wave(uint32_t i)
{
    return wave_states[i].name;
}
static const char *word_answer(uint32_t i)
{
    return gate_answer_names[i];
}
static const char *word_action(uint32_t i)
{
    return action_name((enum action)i);
}
static const char *word_park(uint32_t i)
{
    return park_method_names[i];
}
static const char *word_setting(uint32_t i)
{
    return cluster_setting_names[i];
}
static const char *word_setting_state(uint32_t i)
{
    static const char *const names[] = { "untouched", "setting", "set", "restoring", "restored" };

    return names[i];
}
static const char *word_subject(uint32_t i)
{
    return down_subject_names[i];
}
static const char *word_cause(uint32_t i)
{
    return down_cause_names[i];
}

/* clang-format off */
#define P(type, kind, field) { #field, PART_##kind, offsetof(struct type, field), NULL, 0 }
#define W(type, field, fn, n) { #field, PART_WORD, offsetof(struct type, field), word_##fn, (n) }
static const struct part log_parts[] = {
    P(handover_log, U32, revision), P(handover_log, U64, epoch), P(handover_log, U64, asks),
    P(handover_log, TIME, approval_expires), P(handover_log, BOOL, abort_said), P(handover_log, BOOL, rollback_said),
    P(handover_log, BOOL, removal_known), P(handover_log, BOOL, removal_possible), { 0 } };
static const struct part run_parts[] = {
    W(handover, state, run, RUN_STATES), P(handover, TEXT, hold_text), P(handover, TEXT, end_text),
    P(handover, U32, wave), P(handover, U32, failures), P(handover, U32, deviations),
    P(handover, TIME, started), P(handover, TIME, ended), { 0 } };
static const struct part node_parts[] = {
    P(handover_node, NODE, node), W(handover_node, phase, phase, NODE_PHASES), W(handover_node, end, end, NODE_ENDS),
    P(handover_node, BOOL, back), P(handover_node, BOOL, out), P(handover_node, U32, life),
    P(handover_node, U32, attempt), P(handover_node, TIME, since), P(handover_node, TIME, out_since),
    P(handover_node, TIME, out_until), P(handover_node, TEXT, reason), P(handover_node, BUILD, build_before),
    P(handover_node, BUILD, build_now), P(handover_node, U32, ops_life), P(handover_node, BOOL, paused),
    P(handover_node, BOOL, vmms), P(handover_node, BOOL, storage), P(handover_node, BOOL, effect),
    P(handover_node, BOOL, removed), P(handover_node, BOOL, rebooted), P(handover_node, BOOL, suspended),
    P(handover_node, BOOL, patched), P(handover_node, U32, setting_ops), P(handover_node, U32, reboots),
    P(handover_node, TIME, reboot_last), P(handover_node, TIME, reboot_before), P(handover_node, TEXT, boot),
    P(handover_node, TEXT, boot_effect), P(handover_node, TEXT, boot_effect_first), { 0 } };
/* where they say something */
static const struct part level_part = P(handover_node, BUILD, level_before);
static const struct part proved_part = P(handover_node, BOOL, proved);
static const struct part supposed_part = P(handover_node, BOOL, supposed);
/* A former revision does not tell these: then all numbers count that the log has come to, and it was sent once. */
static const struct part own_parts[] = {
    P(handover_node, U64, own_lives), P(handover_node, U64, own_settings), { 0 } };
static const struct part own_ops_part = P(handover_vm, U64, own_ops);
static const struct part sends_part = P(handover_op, U32, sends);
static const struct part record_parts[] = {
    P(node_record, TIME, at), P(node_record, U64, memory_mib), P(node_record, U64, switches),
    P(node_record, U64, interfaces), P(node_record, U32, cpus), P(node_record, U32, storage_paths),
    P(node_record, BUILD, build), P(node_record, BOOL, pending), P(node_record, BOOL, idle),
    P(node_record, BOOL, bitlocker), P(node_record, U64, bitlocker_state), P(node_record, U64, attestation), { 0 } };
static const struct part wave_parts[] = {
    W(handover_wave, state, wave, WAVE_STATES), P(handover_wave, TIME, started), P(handover_wave, TIME, ended),
    P(handover_wave, U32, failures), { 0 } };
static const struct part gate_parts[] = {
    P(handover_gate, TEXT, name), P(handover_gate, TEXT, text), P(handover_gate, U32, wave),
    P(handover_gate, U32, samples), P(handover_gate, BOOL, after), P(handover_gate, BOOL, done),
    W(handover_gate, answer, answer, 3), P(handover_gate, TIME, started), P(handover_gate, TIME, ended), { 0 } };
static const struct part row_parts[] = {
    W(ledger_row, subject, subject, DOWN_VMMS + 1), P(ledger_row, NODE, node), P(ledger_row, TEXT, id),
    P(ledger_row, U32, wave), W(ledger_row, cause, cause, CAUSE_CRASH + 1), P(ledger_row, TEXT, step),
    P(ledger_row, TEXT, op), P(ledger_row, TEXT, how), P(ledger_row, TIME, start), P(ledger_row, TIME, end),
    { "p5", PART_TIME, offsetof(struct ledger_row, predicted.p5), NULL, 0 },
    { "p50", PART_TIME, offsetof(struct ledger_row, predicted.p50), NULL, 0 },
    { "p95", PART_TIME, offsetof(struct ledger_row, predicted.p95), NULL, 0 },
    P(ledger_row, BOOL, back), { 0 } };
static const struct part vm_parts[] = {
    P(handover_vm, TEXT, id), P(handover_vm, NODE, at), P(handover_vm, CLUSTER, cluster), P(handover_vm, U32, moves),
    P(handover_vm, U32, moves_back), P(handover_vm, U32, ops), { 0 } };
static const struct part park_parts[] = {
    P(handover_park, NODE, node), P(handover_park, TEXT, vm), W(handover_park, method, park, 2),
    P(handover_park, BOOL, checkpoint), P(handover_park, BOOL, down), P(handover_park, BOOL, merged),
    P(handover_park, TIME, down_since), { 0 } };
static const struct part op_parts[] = {
    P(handover_op, TEXT, id), P(handover_op, TEXT, args), P(handover_op, TEXT, precondition),
    W(handover_op, action, action, ACTIONS), P(handover_op, NODE, node), P(handover_op, NODE, receiver),
    P(handover_op, TEXT, vm), W(handover_op, setting, setting, CLUSTER_SETTINGS), P(handover_op, U64, memory_mib),
    P(handover_op, TIME, limit_ms), P(handover_op, TIME, sent), P(handover_op, BOOL, seen),
    P(handover_op, BOOL, evidence), { 0 } };
static const struct part setting_parts[] = {
    P(handover_setting, CLUSTER, cluster), W(handover_setting, setting, setting, CLUSTER_SETTINGS),
    P(handover_setting, U32, old), W(handover_setting, state, setting_state, SETTING_RESTORED + 1), { 0 } };
/* clang-format on */

struct list_part {
    const char *key;
    const struct part *parts;
    size_t items, n, size; /* offsets in struct handover; of an item */
};
#define L(name, parts, type)                                                                  \
    {                                                                                         \
#name, (parts), offsetof(struct handover, name), offsetof(struct handover, n_##name), \
            sizeof(struct type)                                                               \
    }
static const struct list_part lists[] = {
    L(nodes, node_parts, handover_node), L(waves, wave_parts, handover_wave),
    L(gates, gate_parts, handover_gate), L(rows, row_parts, ledger_row),
    L(vms, vm_parts, handover_vm),       L(parks, park_parts, handover_park),
    L(ops, op_parts, handover_op),       L(settings, setting_parts, handover_setting),
};
#define LISTS (sizeof lists / sizeof lists[0])

/* --- writing --- */

static void write_part(struct json_writer *w, const struct part *p, const char *base,
                       const struct inventory *inv)
{
    const void *at = base + p->at;
    char build[32];

    switch (p->kind) {
    case PART_TIME:
        jw_int(w, p->key, *(const int64_t *)at);
        break;
    case PART_U64: /* hashes use all their bits */
        jw_int(w, p->key, (int64_t) * (const uint64_t *)at);
        break;
    case PART_U32:
        jw_int(w, p->key, *(const uint32_t *)at);
        break;
    case PART_BOOL:
        jw_bool(w, p->key, *(const bool *)at);
        break;
    case PART_TEXT:
        jw_str(w, p->key, *(const char *const *)at);
        break;
    case PART_NODE:
        jw_str(w, p->key, *(const uint32_t *)at == IX_NONE ? NULL : inv->nodes[*(const uint32_t *)at].id);
        break;
    case PART_CLUSTER:
        jw_str(w, p->key, inv->clusters[*(const uint32_t *)at].id);
        break;
    case PART_WORD:
        jw_str(w, p->key, p->word(*(const uint32_t *)at));
        break;
    case PART_BUILD:
        jw_str(w, p->key, build_text(*(const struct build *)at, build));
        break;
    }
}

static void write_parts(struct json_writer *w, const struct part *parts, const void *base,
                        const struct inventory *inv)
{
    for (; parts->key != NULL; parts++)
        write_part(w, parts, base, inv);
}

static void write_node_more(struct json_writer *w, const struct handover_node *n, const struct inventory *inv)
{
    jw_array(w, "attempts");
    for (uint32_t a = 0; a < ACTIONS; a++)
        jw_int(w, NULL, n->attempts[a]);
    jw_array_end(w);
    write_parts(w, own_parts, n, inv);
    if (n->level_before.number != 0)
        write_part(w, &level_part, (const char *)n, inv);
    if (n->proved)
        write_part(w, &proved_part, (const char *)n, inv);
    if (n->supposed)
        write_part(w, &supposed_part, (const char *)n, inv);
    if (!n->before.known)
        return;
    jw_object(w, "before");
    write_parts(w, record_parts, &n->before, inv);
    jw_object_end(w);
}

void handover_write(struct json_writer *w, const char *key, const struct handover *h,
                    const struct inventory *inv)
{
    jw_object(w, key);
    jw_object(w, "log");
    write_parts(w, log_parts, &h->log, inv);
    jw_object_end(w);
    write_parts(w, run_parts, h, inv);
    for (size_t k = 0; k < LISTS; k++) {
        const struct list_part *l = &lists[k];
        const char *items;
        uint32_t n;

        memcpy(&items, (const char *)h + l->items, sizeof items);
        memcpy(&n, (const char *)h + l->n, sizeof n);
        jw_array(w, l->key);
        for (uint32_t i = 0; i < n; i++) {
            jw_object(w, NULL);
            write_parts(w, l->parts, items + i * l->size, inv);
            if (l->parts == node_parts)
                write_node_more(w, &h->nodes[i], inv);
            if (l->parts == vm_parts)
                write_part(w, &own_ops_part, (const char *)&h->vms[i], inv);
            if (l->parts == op_parts)
                write_part(w, &sends_part, (const char *)&h->ops[i], inv);
            jw_object_end(w);
        }
        jw_array_end(w);
    }
    jw_object_end(w);
}

/* --- reading --- */

/* A node may be none, a cluster not. */
static uint32_t read_name(struct fields *f, const json *o, const struct part *p, const struct inventory *inv)
{
    const char *id =
        p->kind == PART_NODE ? fields_nullable(f, o, p->key) : fields_str(f, o, p->key, JSON_REQUIRED);
    uint32_t ix = IX_NONE;

    if (f->rc != 0 || id == NULL)
        return IX_NONE;
    ix = p->kind == PART_NODE ? inventory_node(inv, id) : inventory_cluster(inv, id);
    if (ix == IX_NONE)
        fields_fault(f, json_get(o, p->key), "is not in the inventory");
    return ix;
}

static uint32_t read_word(struct fields *f, const json *o, const struct part *p)
{
    const char *text = fields_str(f, o, p->key, JSON_REQUIRED);

    for (uint32_t i = 0; text != NULL && i < p->words; i++)
        if (strcmp(p->word(i), text) == 0)
            return i;
    if (f->rc == 0)
        fields_fault(f, json_get(o, p->key), "unknown word");
    return 0;
}

/* Sums of it stay in 64 bits; or never. */
static int64_t read_time(struct fields *f, const json *o, const char *key)
{
    int64_t t = fields_int(f, o, key, JSON_REQUIRED, -TIME_MAX_SUM, INT64_MAX, 0);

    if (t > TIME_MAX_SUM && t != TIME_NEVER)
        fields_fault(f, json_get(o, key), "is no time");
    return t;
}

static void read_part(struct fields *f, const json *o, const struct part *p, char *base,
                      const struct inventory *inv)
{
    void *at = base + p->at;
    const char *text;

    switch (p->kind) {
    case PART_TIME:
        *(int64_t *)at = read_time(f, o, p->key);
        break;
    case PART_U64:
        *(uint64_t *)at = (uint64_t)fields_int(f, o, p->key, JSON_REQUIRED, INT64_MIN, INT64_MAX, 0);
        break;
    case PART_U32:
        *(uint32_t *)at = fields_u32(f, o, p->key, JSON_REQUIRED, UINT32_MAX, 0);
        break;
    case PART_BOOL:
        *(bool *)at = fields_bool(f, o, p->key, JSON_REQUIRED, false);
        break;
    case PART_TEXT:
        *(const char **)at = fields_str(f, o, p->key, JSON_REQUIRED);
        break;
    case PART_NODE:
    case PART_CLUSTER:
        *(uint32_t *)at = read_name(f, o, p, inv);
        break;
    case PART_WORD:
        *(uint32_t *)at = read_word(f, o, p);
        break;
    case PART_BUILD:
        text = fields_str(f, o, p->key, JSON_REQUIRED);
        if (text != NULL && build_parse(text, at, NULL) != 0)
            fields_fault(f, json_get(o, p->key), "is no build");
        break;
    }
}

static void read_parts(struct fields *f, const json *o, const struct part *parts, void *base,
                       const struct inventory *inv)
{
    for (; parts->key != NULL && f->rc == 0; parts++)
        read_part(f, o, parts, base, inv);
}

static uint64_t numbers_to(uint32_t last)
{
    uint64_t bits = 0;

    for (uint32_t i = 0; i <= last && i < 64; i++)
        bits |= node_bit(i);
    return bits;
}

static void read_vm_more(struct fields *f, const json *o, struct handover_vm *v, const struct inventory *inv)
{
    if (json_get(o, own_ops_part.key) != NULL)
        read_part(f, o, &own_ops_part, (char *)v, inv);
    else
        v->own_ops = numbers_to(v->ops);
}

static void read_op_more(struct fields *f, const json *o, struct handover_op *op, const struct inventory *inv)
{
    op->sends = 1;
    if (json_get(o, sends_part.key) != NULL)
        read_part(f, o, &sends_part, (char *)op, inv);
}

static void read_node_more(struct fields *f, const json *o, struct handover_node *n,
                           const struct inventory *inv)
{
    const json *before = fields_object(f, o, "before", JSON_OPTIONAL), *v;
    uint32_t a = 0;

    for (v = json_first(fields_array(f, o, "attempts", JSON_REQUIRED)); v != NULL && a < ACTIONS;
         v = json_next(v))
        n->attempts[a++] = (uint8_t)json_int(v, 0);
    n->own_lives = numbers_to(n->ops_life);
    n->own_settings = numbers_to(n->setting_ops);
    if (json_get(o, own_parts[0].key) != NULL)
        read_parts(f, o, own_parts, n, inv);
    if (json_get(o, level_part.key) != NULL)
        read_part(f, o, &level_part, (char *)n, inv);
    if (json_get(o, proved_part.key) != NULL)
        read_part(f, o, &proved_part, (char *)n, inv);
    if (json_get(o, supposed_part.key) != NULL)
        read_part(f, o, &supposed_part, (char *)n, inv);
    n->before.known = before != NULL;
    if (before != NULL)
        read_parts(f, before, record_parts, &n->before, inv);
}

static void read_list(struct fields *f, const json *o, const struct list_part *l, struct handover *h,
                      const struct inventory *inv)
{
    const json *array = fields_array(f, o, l->key, JSON_REQUIRED);
    uint32_t n = 0, i = 0;
    char *items = f->rc == 0 ? fields_items(f, array, l->size, &n) : NULL;

    for (const json *v = json_first(array); v != NULL && f->rc == 0; v = json_next(v), i++) {
        void *item = items + i * l->size;

        read_parts(f, v, l->parts, item, inv);
        if (l->parts == node_parts && f->rc == 0)
            read_node_more(f, v, item, inv);
        if (l->parts == vm_parts && f->rc == 0)
            read_vm_more(f, v, item, inv);
        if (l->parts == op_parts && f->rc == 0)
            read_op_more(f, v, item, inv);
    }
    memcpy((char *)h + l->items, &items, sizeof items);
    memcpy((char *)h + l->n, &n, sizeof n);
}

int handover_read(const struct json_doc *doc, const json *v, const struct inventory *inv, struct arena *a,
                  struct handover **ret_h, struct err *err)
{
    struct fields f = { doc, a, err, 0 };
    struct handover *h = ARENA_NEW(a, struct handover);
    const json *log = fields_object(&f, v, "log", JSON_REQUIRED);

    if (h == NULL)
        return err_set(err, ERR_NOMEM, "read a handover");
    if (f.rc == 0)
        read_parts(&f, log, log_parts, &h->log, inv);
    read_parts(&f, v, run_parts, h, inv);
    for (size_t k = 0; k < LISTS && f.rc == 0; k++)
        read_list(&f, v, &lists[k], h, inv);
    for (uint32_t i = 0; i < h->n_nodes && f.rc == 0; i++)
        if (h->nodes[i].node != i)
            fields_fault(&f, v, "its nodes are not the inventory's, one by one");
    if (f.rc == 0 && h->n_nodes != inv->n_nodes)
        fields_fault(&f, v, "its nodes are not the inventory's, one by one");
    for (uint32_t i = 0; i < h->n_settings && f.rc == 0; i++)
        if (h->settings[i].cluster * CLUSTER_SETTINGS + h->settings[i].setting != i)
            fields_fault(&f, v, "its settings are not the clusters', one by one");
    if (f.rc == 0 && h->n_settings != inv->n_clusters * CLUSTER_SETTINGS)
        fields_fault(&f, v, "its settings are not the clusters', one by one");
    if (f.rc == 0)
        *ret_h = h;
    return f.rc;
}
