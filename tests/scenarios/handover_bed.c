#include "tests/scenarios/handover_bed.h"

struct inventory *handover_bed_fleet(void)
{
    const struct fleet_words words = { .seed = 5,
                                       .clusters = 2,
                                       .nodes = 4,
                                       .vms = 2,
                                       .node_mib = 65536,
                                       .vm_mib_min = 2048,
                                       .vm_mib_max = 4096 };

    return small_fleet(&words);
}

void handover_bed_begin(struct handover_bed *b, const char *waves, const char *more)
{
    handover_bed_of(b, handover_bed_fleet(), waves, more);
}

void handover_bed_of(struct handover_bed *b, struct inventory *inv, const char *waves, const char *more)
{
    const struct handover *told = NULL;
    struct buf scope = BUF_INIT;

    *b = (struct handover_bed){ 0 };
    buf_printf(&scope, ",\"scope\":{\"clusters\":[\"c00\"]}%s", more);
    b->s = scenario_of(inv, waves, buf_text(&scope));
    buf_clear(&scope);
    scenario_start(b->s);
    check_ok(handover_fold_new(b->s->plan, &b->fold, &b->s->err), &b->s->err);
    check_ok(handover_view(b->fold, b->s->engine, &b->s->err), &b->s->err);
    check_ok(handover_fold_end(b->fold, &told, &b->s->err), &b->s->err);
    b->h = handover_fold_now(b->fold);
    b->ev = (struct event){ .type = EV_HANDOVER, .at = START_MS, .node = IX_NONE, .cluster = IX_NONE };
    b->ev.u.handover.run = "r1";
    b->ev.u.handover.plan_hash = b->s->plan->hash;
    b->ev.u.handover.controller = "00000000000000000000000000000003";
    b->ev.u.handover.revision = ENGINE_REVISION;
    b->ev.u.handover.epoch = 9;
    b->ev.u.handover.state = b->h;
}

int handover_bed_take(struct handover_bed *b)
{
    check_ok(engine_new(b->s->plan, &b->e, &b->s->err), &b->s->err);
    return engine_step(b->e, &b->ev, &b->out, &b->s->err);
}

void handover_bed_end(struct handover_bed *b)
{
    command_list_clear(&b->out);
    engine_free(b->e);
    handover_fold_free(b->fold);
    scenario_free(b->s);
}
