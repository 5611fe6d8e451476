#include "examples/lab/world_api.h"

static void write_rows(struct json_writer *w, const struct world *wd)
{
    jw_array(w, "downtime");
    for (uint32_t i = 0; i < wd->truth.n; i++) {
        const struct world_truth *t = &wd->truth.items[i];
        jw_object(w, NULL);
        jw_str(w, "subject", t->subject);
        jw_str(w, "id", t->id);
        jw_str(w, "cause", world_cause_text((enum cause)t->cause));
        jw_int(w, "start_ms", t->start);
        if (t->end < 0)
            jw_null(w, "end_ms");
        else
            jw_int(w, "end_ms", t->end);
        jw_str(w, "node", wd->nodes.items[t->node].id);
        jw_bool(w, "foreign", t->foreign);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_damage(struct json_writer *w, const struct world *wd)
{
    jw_array(w, "damage");
    for (uint32_t i = 0; i < wd->damage.n; i++) {
        const struct world_damage *d = &wd->damage.items[i];
        jw_object(w, NULL);
        jw_int(w, "at_ms", d->at);
        jw_str(w, "what", d->what);
        jw_str(w, "subject", d->subject);
        jw_str(w, "detail", d->detail);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_effects(struct json_writer *w, const struct world *wd)
{
    jw_array(w, "effects");
    for (uint32_t i = 0; i < wd->effects.n; i++) {
        const struct world_effect *e = &wd->effects.items[i];
        jw_object(w, NULL);
        jw_int(w, "at_ms", e->at);
        jw_str(w, "what", e->what);
        jw_str(w, "node", wd->nodes.items[e->node].id);
        jw_str(w, "subject", e->subject);
        jw_str(w, "op", e->op);
        jw_int(w, "active_vms", e->active_vms);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_node(struct json_writer *w, const struct world_node *n)
{
    jw_object(w, NULL);
    jw_str(w, "id", n->id);
    jw_bool(w, "on", n->power == POWER_ON);
    jw_bool(w, "paused", n->paused);
    jw_bool(w, "storage_out", n->storage_out);
    jw_bool(w, "vmms", n->vmms_answers);
    jw_int(w, "ubr", n->ubr);
    jw_int(w, "base_ubr", n->base_ubr);
    jw_int(w, "boots", n->boots);
    jw_int(w, "servicings", n->services);
    jw_int(w, "model_install_permille", n->install_factor);
    jw_int(w, "model_reboot_permille", n->reboot_factor);
    jw_object_end(w);
}

static void write_vm(struct json_writer *w, const struct world *wd, const struct world_vm *v)
{
    jw_object(w, NULL);
    jw_str(w, "id", v->id);
    jw_str(w, "name", v->name);
    jw_str(w, "node", wd->nodes.items[v->node].id);
    jw_str(w, "home", wd->nodes.items[v->home].id);
    jw_str(w, "state", world_vm_state_text(v->state));
    jw_int(w, "moves", v->moves);
    jw_object_end(w);
}

void world_write_truth(const struct world *wd, struct buf *out)
{
    struct json_writer w;

    jw_init(&w, out);
    jw_object(&w, NULL);
    jw_int(&w, "now_ms", wd->now);
    jw_int(&w, "step_ms", 100); /* what a driver can measure: tenths of a second */
    write_rows(&w, wd);
    write_damage(&w, wd);
    write_effects(&w, wd);
    jw_array(&w, "nodes");
    for (uint32_t i = 0; i < wd->nodes.n; i++)
        write_node(&w, &wd->nodes.items[i]);
    jw_array_end(&w);
    jw_array(&w, "vms");
    for (uint32_t i = 0; i < wd->vms.n; i++)
        write_vm(&w, wd, &wd->vms.items[i]);
    jw_array_end(&w);
    jw_object_end(&w);
}

void world_write_faults(const struct world *wd, struct buf *out)
{
    struct json_writer w;

    jw_init(&w, out);
    jw_object(&w, NULL);
    jw_array(&w, "faults");
    for (uint32_t i = 0; i < wd->faults.n; i++) {
        const struct world_fault *f = &wd->faults.items[i];
        jw_object(&w, NULL);
        jw_str(&w, "name", f->name);
        jw_str(&w, "subject", f->subject);
        jw_str(&w, "arg", f->arg);
        jw_int(&w, "left", f->left);
        jw_int(&w, "hits", f->hits);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
}
