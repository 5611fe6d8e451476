#include "examples/lab/world.h"

#include "schema/prng.h"

#include <stdio.h>
#include <string.h>

static uint64_t mix(uint64_t h, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != 0; p++)
        h = (h ^ *p) * 0x100000001b3u;
    return (h ^ 0xff) * 0x100000001b3u;
}

static void draw_init(struct prng *p, const struct world *w, const char *what, const char *who, uint64_t nth)
{
    prng_init(p,
              mix(mix((uint64_t)w->meta.seed ^ 0xcbf29ce484222325u, what), who) + nth * 0x9e3779b97f4a7c15u);
}

int64_t world_draw(const struct world *w, const char *what, const char *who, uint64_t nth, int64_t lo,
                   int64_t hi)
{
    struct prng p;

    draw_init(&p, w, what, who, nth);
    return prng_between(&p, lo, hi);
}

dur_ms world_draw_node(struct world *w, uint32_t node, const char *what, dur_ms lo, dur_ms hi, int64_t factor)
{
    struct world_node *n = &w->nodes.items[node];

    return world_draw(w, what, n->id, n->draws++, lo, hi) * factor / 1000;
}

void world_guid(const struct world *w, const char *what, uint64_t nth, char out[WORLD_GUID])
{
    struct prng p;
    uint64_t a, b;

    draw_init(&p, w, "guid", what, nth);
    a = prng_next(&p);
    b = prng_next(&p);
    snprintf(out, WORLD_GUID, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff), (unsigned)(b >> 52),
             (unsigned long long)(b & 0xffffffffffffu));
}

static bool earlier(const struct world_event *a, const struct world_event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void swap(struct world *w, uint32_t i, uint32_t j)
{
    struct world_event t = w->queue.items[i];

    w->queue.items[i] = w->queue.items[j];
    w->queue.items[j] = t;
}

bool world_plan(struct world *w, dur_ms in, enum world_event_type type, uint32_t index, uint32_t gen,
                int64_t arg)
{
    struct world_event *ev = list_push(&w->queue);

    if (ev == NULL)
        return false;
    *ev = (struct world_event){ w->now + (in < 0 ? 0 : in), w->next_seq++, type, index, gen, arg };
    for (uint32_t i = w->queue.n - 1; i > 0; i = (i - 1) / 2) {
        if (!earlier(&w->queue.items[i], &w->queue.items[(i - 1) / 2]))
            break;
        swap(w, i, (i - 1) / 2);
    }
    return true;
}

time_ms world_next_ms(const struct world *w)
{
    return w->queue.n == 0 ? TIME_NEVER : w->queue.items[0].at;
}

static struct world_event take(struct world *w)
{
    struct world_event ev = w->queue.items[0];

    w->queue.items[0] = w->queue.items[--w->queue.n];
    for (uint32_t i = 0;;) {
        uint32_t least = i;
        for (uint32_t c = 2 * i + 1; c <= 2 * i + 2 && c < w->queue.n; c++)
            if (earlier(&w->queue.items[c], &w->queue.items[least]))
                least = c;
        if (least == i)
            return ev;
        swap(w, i, least);
        i = least;
    }
}

/* What an event's subject is, and with it whose generation voids it. */
enum subject { OF_NONE, OF_NODE, OF_VM, OF_CLUSTER };

static const struct {
    enum subject of;
    world_handler *handle;
} handlers[EV_TYPES] = {
    [EV_PAUSED] = { OF_NODE, on_paused },
    [EV_RESUMED] = { OF_NODE, on_resumed },
    [EV_POWER_OFF] = { OF_NODE, on_power_off },
    [EV_POWER_ON] = { OF_NODE, on_power_on },
    [EV_JOINED] = { OF_NODE, on_joined },
    [EV_FAILOVER] = { OF_NONE, on_failover },
    [EV_SELF_REBOOT] = { OF_NODE, on_self_reboot },
    [EV_VMMS_RUNNING] = { OF_NODE, on_vmms_running },
    [EV_VMMS_ANSWERS] = { OF_NODE, on_vmms_answers },
    [EV_VMMS_STOPPED] = { OF_NODE, on_vmms_stopped },
    [EV_BACKUP_SERVICE] = { OF_NODE, on_backup_service },
    [EV_SERVICING] = { OF_NODE, on_servicing },
    [EV_MOVE_END] = { OF_VM, on_move_end },
    [EV_VM_DOWN] = { OF_VM, on_vm_down },
    [EV_VM_RUNNING] = { OF_VM, on_vm_running },
    [EV_HA_RESTART] = { OF_VM, on_ha_restart },
    [EV_CHECKPOINT] = { OF_VM, on_checkpoint },
    [EV_MERGED] = { OF_VM, on_merged },
    [EV_FAILBACK] = { OF_NONE, on_failback },
    [EV_GROUP_MOVED] = { OF_NONE, on_group_moved },
    [EV_STORAGE_OUT] = { OF_NODE, on_storage_out },
    [EV_STORAGE_IN] = { OF_NODE, on_storage_in },
    [EV_REPAIR_BEGIN] = { OF_CLUSTER, on_repair_begin },
    [EV_REPAIR_END] = { OF_CLUSTER, on_repair_end },
    [EV_BALANCE] = { OF_NONE, on_balance },
    [EV_GROW] = { OF_NONE, on_grow },
    [EV_NOISE] = { OF_NONE, on_noise },
};

static bool is_void(const struct world *w, const struct world_event *ev)
{
    switch (handlers[ev->type].of) {
    case OF_NODE:
        return w->nodes.items[ev->index].gen != ev->gen;
    case OF_VM:
        return w->vms.items[ev->index].gen != ev->gen;
    case OF_CLUSTER:
        return w->clusters.items[ev->index].gen != ev->gen;
    case OF_NONE:
        break;
    }
    return false;
}

bool world_advance(struct world *w, time_ms until)
{
    bool any = false;

    while (w->queue.n > 0 && w->queue.items[0].at <= until) {
        struct world_event ev = take(w);
        if (ev.at > w->now)
            w->now = ev.at;
        if (ev.type == EV_NONE || ev.type >= EV_TYPES || is_void(w, &ev))
            continue;
        handlers[ev.type].handle(w, &ev);
        any = true;
    }
    if (until > w->now)
        w->now = until;
    return any;
}
