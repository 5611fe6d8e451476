#include "orchestrator/core/event_names.h"
#include "orchestrator/core/handover.h"
#include "orchestrator/core/picture.h"

static void write_row(struct json_writer *w, const struct down_row *row)
{
    jw_object(w, NULL);
    jw_str(w, "subject", down_subject_names[row->subject]);
    jw_str(w, "id", row->id);
    jw_str(w, "cause", down_cause_names[row->cause]);
    jw_int(w, "start_ms", row->start);
    if (row->end == TIME_NEVER)
        jw_null(w, "end_ms");
    else
        jw_int(w, "end_ms", row->end);
    jw_str(w, "how", row->how);
    jw_object_end(w);
}

/* Absent strings are left out, so that NULL and "" stay apart. */
static void write_text(struct json_writer *w, const char *key, const char *text)
{
    if (text != NULL)
        jw_str(w, key, text);
}

static void write_error(struct json_writer *w, const struct op_record *r)
{
    if (r->error_code == NULL)
        return;
    jw_object(w, "error");
    jw_str(w, "code", r->error_code);
    write_text(w, "message", r->error_text);
    write_text(w, "native", r->error_native);
    write_text(w, "hint", r->error_hint);
    jw_object_end(w);
}

static void write_record(struct json_writer *w, const char *key, const struct op_record *r)
{
    jw_object(w, key);
    jw_str(w, "op", r->op);
    write_text(w, "action", r->action);
    jw_str(w, "state", op_state_names[r->state]);
    jw_str(w, "outcome", op_outcome_names[r->outcome]);
    jw_str(w, "witness", op_witness_names[r->witness]);
    write_error(w, r);
    jw_int(w, "accepted_ms", r->accepted);
    jw_int(w, "started_ms", r->started);
    jw_int(w, "ended_ms", r->ended);
    write_text(w, "boot_id", r->boot_id);
    jw_array(w, "downtime");
    for (uint32_t i = 0; i < r->n_rows; i++)
        write_row(w, &r->rows[i]);
    jw_array_end(w);
    jw_bool(w, "already", r->already);
    jw_bool(w, "reboot_required", r->reboot_required);
    jw_int(w, "exit", r->exit_code);
    jw_int(w, "blackout_ms", r->blackout_ms);
    write_text(w, "text", r->text);
    write_text(w, "output_tail", r->output_tail);
    jw_object_end(w);
}

static void write_run_start(struct json_writer *w, const struct event *ev)
{
    jw_str(w, "run", ev->u.run_start.run);
    jw_str(w, "plan_hash", ev->u.run_start.plan_hash);
    write_text(w, "person", ev->u.run_start.person);
    jw_str(w, "controller", ev->u.run_start.controller);
    jw_int(w, "revision", ev->u.run_start.revision);
    jw_int(w, "epoch", (int64_t)ev->u.run_start.epoch);
    if (ev->u.run_start.approval_expires != TIME_NEVER)
        jw_int(w, "approval_expires_ms", ev->u.run_start.approval_expires);
}

static void write_controller_start(struct json_writer *w, const struct event *ev)
{
    jw_str(w, "controller", ev->u.controller_start.controller);
    write_text(w, "person", ev->u.controller_start.person);
    jw_int(w, "revision", ev->u.controller_start.revision);
    jw_int(w, "epoch", (int64_t)ev->u.controller_start.epoch);
    jw_bool(w, "takeover", ev->u.controller_start.takeover);
    write_text(w, "ticket", ev->u.controller_start.ticket);
}

static void write_handover(struct json_writer *w, const struct event *ev, const struct inventory *inv)
{
    jw_str(w, "run", ev->u.handover.run);
    jw_str(w, "plan_hash", ev->u.handover.plan_hash);
    jw_str(w, "controller", ev->u.handover.controller);
    write_text(w, "person", ev->u.handover.person);
    write_text(w, "ticket", ev->u.handover.ticket);
    jw_int(w, "revision", ev->u.handover.revision);
    jw_int(w, "epoch", (int64_t)ev->u.handover.epoch);
    handover_write(w, "state", ev->u.handover.state, inv);
}

static void write_claimed(struct json_writer *w, const struct event *ev)
{
    write_text(w, "machine_id", ev->u.claimed.machine_id);
    write_text(w, "boot_id", ev->u.claimed.boot_id);
    write_text(w, "agent", ev->u.claimed.agent);
    if (ev->u.claimed.blank)
        jw_bool(w, "blank", true);
    jw_array(w, "ops");
    for (uint32_t i = 0; i < ev->u.claimed.n_ops; i++)
        write_record(w, NULL, &ev->u.claimed.ops[i]);
    jw_array_end(w);
}

static void write_cluster(struct json_writer *w, const struct event *ev, const struct inventory *inv,
                          const struct event_pictures *pictures)
{
    const struct kept_picture *base = event_picture(pictures, ev->cluster);
    struct picture p = picture_of(ev);

    if (base == NULL)
        picture_write(w, &p, inv);
    else
        picture_write_changes(w, base, &p, inv);
}

static void write_facts(struct json_writer *w, const struct event *ev, const struct inventory *inv,
                        const struct event_pictures *pictures)
{
    switch (ev->u.observed.what) {
    case OBSERVE_FACTS:
        facts_write_node(w, "facts", &ev->u.observed.facts);
        break;
    case OBSERVE_CLUSTER:
        write_cluster(w, ev, inv, pictures);
        break;
    case OBSERVE_VERIFY:
        facts_write_verify(w, "facts", &ev->u.observed.verify);
        break;
    case OBSERVE_EMPTY:
        facts_write_empty(w, "facts", &ev->u.observed.empty);
        break;
    case OBSERVE_REMOVABILITY:
        facts_write_removability(w, "facts", &ev->u.observed.removability);
        break;
    case OBSERVE_STORAGE:
        facts_write_storage(w, "facts", &ev->u.observed.storage);
        break;
    case OBSERVE_TIME:
        facts_write_time(w, "facts", &ev->u.observed.time);
        break;
    case OBSERVE_BACKUP:
        facts_write_backup(w, "facts", &ev->u.observed.backup);
        break;
    case OBSERVE_HEARTBEAT:
        facts_write_heartbeat(w, "facts", &ev->u.observed.heartbeat);
        break;
    case OBSERVE_WHATS:
        break;
    }
}

static void write_observed(struct json_writer *w, const struct event *ev, const struct inventory *inv,
                           const struct event_pictures *pictures)
{
    jw_int(w, "ask", (int64_t)ev->u.observed.ask);
    jw_str(w, "what", observe_names[ev->u.observed.what]);
    jw_bool(w, "ok", ev->u.observed.ok);
    write_text(w, "text", ev->u.observed.text);
    jw_int(w, "taken_ms", ev->u.observed.taken);
    if (ev->u.observed.ok)
        write_facts(w, ev, inv, pictures);
}

static void write_verb(struct json_writer *w, const struct event *ev)
{
    jw_str(w, "verb", verb_names[ev->u.verb.verb]);
    write_text(w, "person", ev->u.verb.person);
    write_text(w, "ticket", ev->u.verb.ticket);
    write_text(w, "reason", ev->u.verb.reason);
    write_text(w, "op", ev->u.verb.op);
    jw_bool(w, "accept_unknown", ev->u.verb.accept_unknown);
    jw_str(w, "decision", op_witness_names[ev->u.verb.decision]);
}

static void write_body(struct json_writer *w, const struct event *ev, const struct inventory *inv,
                       const struct event_pictures *pictures)
{
    switch (ev->type) {
    case EV_RUN_START:
        write_run_start(w, ev);
        break;
    case EV_CONTROLLER_START:
        write_controller_start(w, ev);
        break;
    case EV_HANDOVER:
        write_handover(w, ev, inv);
        break;
    case EV_CONTROLLER_STOP:
        write_text(w, "reason", ev->u.controller_stop.reason);
        break;
    case EV_NODE_CLAIMED:
        write_claimed(w, ev);
        break;
    case EV_NODE_REFUSED:
    case EV_NODE_LOST:
        jw_str(w, "code", err_name(ev->u.refused.code));
        write_text(w, "text", ev->u.refused.text);
        break;
    case EV_OBSERVED:
        write_observed(w, ev, inv, pictures);
        break;
    case EV_OP_RESULT:
        write_record(w, "record", &ev->u.op_result.record);
        break;
    case EV_STAGED:
        jw_bool(w, "ok", ev->u.staged.ok);
        write_text(w, "text", ev->u.staged.text);
        jw_int(w, "took_ms", ev->u.staged.took);
        break;
    case EV_VERB:
        write_verb(w, ev);
        break;
    case EV_TIMEOUT:
    case EVENT_TYPES:
        break;
    }
}

/* The keeper moves by what stands in the text, as a reader's does. What cannot be kept is forgotten: the next
 * picture is then a whole one. */
static void keep_picture(const struct buf *out, size_t start, const struct event *ev,
                         const struct inventory *inv, struct event_pictures *pictures)
{
    struct arena texts = ARENA_INIT;
    struct event again;

    if (out->failed ||
        event_read(out->data + start, out->len - start, inv, pictures, &texts, &again, NULL) != 0)
        event_pictures_forget(pictures, ev->cluster);
    arena_clear(&texts);
}

void event_write(struct buf *out, const struct event *ev, const struct inventory *inv,
                 struct event_pictures *pictures)
{
    size_t start = out->len;
    struct json_writer w;

    jw_init(&w, out);
    jw_object(&w, NULL);
    jw_int(&w, "at_ms", ev->at);
    jw_str(&w, "type", event_type_names[ev->type]);
    if (ev->node != IX_NONE)
        jw_str(&w, "node", inv->nodes[ev->node].id);
    if (ev->cluster != IX_NONE)
        jw_str(&w, "cluster", inv->clusters[ev->cluster].id);
    write_body(&w, ev, inv, pictures);
    jw_object_end(&w);
    if (pictures != NULL && event_has_picture(ev))
        keep_picture(out, start, ev, inv, pictures);
}
