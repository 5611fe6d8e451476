/* Packages: install, remove, and the finalisation after the boot. */
#include "examples/lab/world.h"

#include <stdio.h>
#include <string.h>

struct world_package *world_package_find(struct world *w, uint32_t node, int64_t ubr)
{
    for (uint32_t i = 0; i < w->packages.n; i++)
        if (w->packages.items[i].node == node && w->packages.items[i].ubr == ubr)
            return &w->packages.items[i];
    return NULL;
}

struct world_package *world_package_top(struct world *w, uint32_t node)
{
    struct world_package *top = NULL;

    for (uint32_t i = 0; i < w->packages.n; i++) {
        struct world_package *p = &w->packages.items[i];
        if (p->node == node && p->state == PACKAGE_INSTALLED && (top == NULL || p->ubr > top->ubr))
            top = p;
    }
    return top;
}

static void marks(struct world_node *n, bool on)
{
    n->mark_cbs = n->mark_packages = n->mark_xml = on;
    n->mark_wu = on && n->servicing_wusa; /* DISM does not set this one */
}

static int may_service(struct world *w, uint32_t node, struct refusal *r)
{
    struct world_node *n = &w->nodes.items[node];

    if (n->power != POWER_ON)
        return world_refuse(r, "busy", "1115", "%s is shutting down", n->id);
    if (n->servicing != SERVICING_IDLE)
        return world_refuse(r, "busy", "0x80240009", "another servicing operation is in progress");
    if (n->mark_cbs || n->mark_xml)
        return world_refuse(r, "needs_reboot", "0x800f082f", "a pending reboot blocks servicing");
    return 0;
}

static void begin(struct world *w, uint32_t node, enum servicing what, struct world_package *p, dur_ms takes)
{
    struct world_node *n = &w->nodes.items[node];

    n->servicing = what;
    n->servicing_package = (uint32_t)(p - w->packages.items);
    n->servicing_from = w->now;
    n->servicing_error[0] = 0;
    n->servicing_exit = 0;
    n->services++;
    if (what != SERVICING_FINALISE)
        world_took_hold(w, what == SERVICING_INSTALL ? "install" : "uninstall", node, "");
    n->servicing_until = takes == TIME_NEVER ? TIME_NEVER : w->now + takes;
    if (takes != TIME_NEVER)
        world_plan(w, takes, EV_SERVICING, node, n->gen, 0);
}

static dur_ms install_takes(struct world *w, uint32_t node, bool wusa)
{
    struct world_node *n = &w->nodes.items[node];
    dur_ms takes = world_draw_node(w, node, "install", 11 * MINUTE_MS, 14 * MINUTE_MS + 30 * SECOND_MS,
                                   n->install_factor);

    if (world_fault_hit(w, "install-hangs", n->id) != NULL)
        return TIME_NEVER;
    return (takes + (wusa ? 30 * SECOND_MS : 0)) *
           world_fault_number(world_fault_hit(w, "install-slow", n->id), 1);
}

int world_install(struct world *w, uint32_t node, const char *kb, int64_t build, int64_t ubr, bool wusa,
                  struct refusal *r)
{
    struct world_node *n = &w->nodes.items[node];
    struct world_package *p;

    if (build != w->meta.build)
        return world_refuse(r, "not_applicable", "0x80240017", "the update is not for build %lld",
                            (long long)w->meta.build);
    p = world_package_top(w, node);
    if (p != NULL && p->ubr >= ubr && n->servicing == SERVICING_IDLE)
        return 1; /* 2359302, or 0x80240017 from a newer one: compliant (5.3) */
    if (may_service(w, node, r) != 0)
        return -1;
    if (world_fault_hit(w, "no-space", n->id) != NULL)
        return world_refuse(r, "no_space", "0x80070070", "there is not enough space on the disk");
    p = world_package_find(w, node, ubr);
    if (p == NULL)
        p = list_push(&w->packages);
    if (p == NULL)
        return world_refuse(r, "failed", "0x8007000e", "out of memory");
    p->node = node;
    snprintf(p->kb, sizeof p->kb, "%s", kb);
    p->build = build;
    p->ubr = ubr;
    p->state = PACKAGE_ABSENT;
    p->permanent = (!w->meta.removable || world_fault_set(w, "package-permanent", n->id) != NULL) &&
                   world_fault_set(w, "package-removable", n->id) == NULL;
    n->servicing_wusa = wusa;
    begin(w, node, SERVICING_INSTALL, p, install_takes(w, node, wusa));
    return 0;
}

/* Removal is possible only with a predecessor to fall back to. */
static struct world_package *predecessor(struct world *w, uint32_t node, int64_t ubr)
{
    struct world_package *best = NULL;

    for (uint32_t i = 0; i < w->packages.n; i++) {
        struct world_package *p = &w->packages.items[i];
        if (p->node == node && p->ubr < ubr &&
            (p->state == PACKAGE_SUPERSEDED || p->state == PACKAGE_INSTALLED) &&
            (best == NULL || p->ubr > best->ubr))
            best = p;
    }
    return best;
}

int world_uninstall(struct world *w, uint32_t node, const char *kb, int64_t ubr, struct refusal *r)
{
    struct world_node *n = &w->nodes.items[node];
    struct world_package *p = world_package_find(w, node, ubr);

    if (n->servicing == SERVICING_IDLE &&
        (p == NULL || p->state == PACKAGE_ABSENT || p->state == PACKAGE_UNINSTALL_PENDING))
        return 1;
    if (may_service(w, node, r) != 0)
        return -1;
    if (p == NULL || p->permanent || predecessor(w, node, ubr) == NULL)
        return world_refuse(r, "not_removable", "0x800f0825", "%s: permanent package cannot be uninstalled",
                            kb);
    n->servicing_wusa = false;
    begin(w, node, SERVICING_REMOVE, p,
          world_draw_node(w, node, "remove", 6 * MINUTE_MS, 10 * MINUTE_MS, n->install_factor));
    return 0;
}

static void installed(struct world *w, uint32_t node, struct world_package *p)
{
    struct world_package *old = world_package_top(w, node);

    if (old != NULL)
        old->state = PACKAGE_SUPERSEDED;
    p->state = PACKAGE_INSTALLED;
    world_note(w, node, "Setup", "Microsoft-Windows-Servicing", 2, 4, "", "");
}

static void install_ends(struct world *w, uint32_t node, struct world_package *p)
{
    struct world_node *n = &w->nodes.items[node];
    struct world_fault *f = world_fault_hit(w, "install-fails", n->id);

    if (f != NULL) {
        snprintf(n->servicing_error, sizeof n->servicing_error, "%.15s",
                 f->arg[0] != 0 ? f->arg : "0x800f0922");
        world_note(w, node, "Setup", "Microsoft-Windows-Servicing", 3, 2, "", "");
        return;
    }
    if (world_fault_hit(w, "no-reboot", n->id) != NULL) {
        installed(w, node, p);
        n->ubr = p->ubr;
        n->servicing_exit = 0;
        return;
    }
    p->state = PACKAGE_INSTALL_PENDING;
    n->servicing_exit = 3010;
    marks(n, true);
    world_note(w, node, "Setup", "Microsoft-Windows-Servicing", 4, 4, "", "");
}

static void remove_ends(struct world *w, uint32_t node, struct world_package *p)
{
    struct world_node *n = &w->nodes.items[node];

    if (world_fault_hit(w, "uninstall-fails", n->id) != NULL) {
        snprintf(n->servicing_error, sizeof n->servicing_error, "0x800f0922");
        return;
    }
    p->state = PACKAGE_UNINSTALL_PENDING;
    n->servicing_exit = 3010;
    marks(n, true);
}

static void finalise_ends(struct world *w, uint32_t node, struct world_package *p)
{
    struct world_node *n = &w->nodes.items[node];

    if (n->reboot_again) { /* still pending: only another boot ends it */
        n->reboot_again = false;
        return;
    }
    marks(n, false);
    if (p->state == PACKAGE_INSTALL_PENDING) {
        installed(w, node, p);
    } else if (p->state == PACKAGE_UNINSTALL_PENDING) {
        struct world_package *old = predecessor(w, node, p->ubr);
        p->state = PACKAGE_ABSENT;
        if (old != NULL)
            old->state = PACKAGE_INSTALLED;
    }
}

void on_servicing(struct world *w, const struct world_event *ev)
{
    static void (*const ends[])(struct world *, uint32_t, struct world_package *) = {
        [SERVICING_INSTALL] = install_ends,
        [SERVICING_REMOVE] = remove_ends,
        [SERVICING_FINALISE] = finalise_ends,
    };
    struct world_node *n = &w->nodes.items[ev->index];
    enum servicing was = n->servicing;

    n->servicing = SERVICING_IDLE;
    if (was != SERVICING_IDLE)
        ends[was](w, ev->index, &w->packages.items[n->servicing_package]);
}

static void pending_boot(struct world *w, uint32_t node, struct world_package *p)
{
    struct world_node *n = &w->nodes.items[node];
    struct world_package *old = predecessor(w, node, p->ubr);
    bool first = n->ubr != p->ubr;

    if (p->state == PACKAGE_INSTALL_PENDING && world_fault_hit(w, "old-build", n->id) != NULL) {
        p->state = PACKAGE_ABSENT; /* CBS rolled it back while booting */
        marks(n, false);
        return;
    }
    /* The registry flips first; CBS is done one to two minutes later. */
    n->ubr = p->state == PACKAGE_INSTALL_PENDING ? p->ubr : old != NULL ? old->ubr : n->ubr;
    begin(w, node, SERVICING_FINALISE, p,
          world_draw_node(w, node, "finalise", 80 * SECOND_MS, 140 * SECOND_MS, 1000));
    if (p->state != PACKAGE_INSTALL_PENDING || !first)
        return;
    if (world_fault_hit(w, "second-reboot", n->id) != NULL ||
        world_draw(w, "second-reboot", n->id, 0, 1, 90) == 1)
        n->reboot_again = true;
    if (world_fault_hit(w, "self-reboot", n->id) != NULL ||
        world_draw(w, "self-reboot", n->id, 0, 1, 90) == 1)
        world_plan(w, world_draw_node(w, node, "self-reboot", 45 * SECOND_MS, 70 * SECOND_MS, 1000),
                   EV_SELF_REBOOT, node, n->gen, 0);
}

void world_servicing_boot(struct world *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->packages.n; i++) {
        struct world_package *p = &w->packages.items[i];
        if (p->node == node &&
            (p->state == PACKAGE_INSTALL_PENDING || p->state == PACKAGE_UNINSTALL_PENDING)) {
            pending_boot(w, node, p);
            return;
        }
    }
    marks(&w->nodes.items[node], false);
}

/* Power went away: an install in progress is undone by the next boot. */
void world_servicing_cut(struct world *w, uint32_t node)
{
    struct world_node *n = &w->nodes.items[node];

    if (n->servicing == SERVICING_INSTALL || n->servicing == SERVICING_REMOVE)
        world_hurt(w, "servicing_cut", n->id, "went down while servicing");
    n->servicing = SERVICING_IDLE;
}
