/* install, uninstall, fetch_package. Ending the driver ends none of them. */
#include "examples/lab/ask.h"

#include <string.h>

struct wanted {
    const char *kb;
    int64_t build, ubr;
};

static bool read_package(struct ask *a, struct wanted *p)
{
    const json *o = json_get(a->args, "package");

    if (!json_is_object(o))
        return false;
    p->kb = json_get_str(o, "kb", NULL);
    p->build = json_get_int(o, "build", -1);
    p->ubr = json_get_int(o, "ubr", -1);
    return p->kb != NULL && p->build > 0 && p->ubr >= 0;
}

static bool wrong_package(struct ask *a)
{
    return ask_error(a, "bad_request", NULL, "`package` needs kb, build and ubr");
}

static bool exit_code(struct ask *a, int64_t code, bool already, bool reboot)
{
    ask_result(a);
    jw_int(&a->jw, "exit", code);
    jw_str(&a->jw, "class", already ? "already" : "done");
    jw_bool(&a->jw, "reboot_required", reboot);
    if (already)
        jw_bool(&a->jw, "already", true);
    return ask_finish(a);
}

static bool on_serviced(struct ask *a)
{
    struct world_node *n = ask_host(a);
    dur_ms all = n->servicing_until - n->servicing_from;

    if (n->services == (uint32_t)a->mark && n->servicing != SERVICING_IDLE) {
        if (n->servicing_until != TIME_NEVER && all > 0)
            a->percent = (int32_t)((a->w->now - n->servicing_from) * 100 / (all + 1));
        return false;
    }
    if (n->servicing_error[0] != 0)
        return ask_error(a, "failed", n->servicing_error, "servicing ended with %s", n->servicing_error);
    return exit_code(a, n->servicing_exit, false, n->servicing_exit == 3010);
}

static bool being_serviced(struct ask *a, enum servicing what, int64_t ubr)
{
    const struct world_node *n = ask_host(a);

    return n->servicing == what && a->w->packages.items[n->servicing_package].ubr == ubr;
}

static bool witness_install(struct ask *a, const struct wanted *p)
{
    const struct world_package *here = world_package_find(a->w, a->node, p->ubr),
                               *top = world_package_top(a->w, a->node);

    if (being_serviced(a, SERVICING_INSTALL, p->ubr))
        return ask_witness(a, "running");
    if ((here != NULL && (here->state == PACKAGE_INSTALL_PENDING || here->state == PACKAGE_INSTALLED)) ||
        (top != NULL && top->ubr >= p->ubr))
        return ask_witness(a, "done");
    return ask_witness(a, "not_done");
}

static bool pending_already(struct ask *a, int64_t ubr, enum package_state state)
{
    const struct world_package *p = world_package_find(a->w, a->node, ubr);

    return p != NULL && p->state == state && ask_host(a)->servicing == SERVICING_IDLE;
}

bool act_install(struct ask *a)
{
    bool wusa = strcmp(json_get_str(a->args, "tool", "dism"), "wusa") == 0;
    struct wanted p;
    struct refusal r;
    int rc;

    if (!read_package(a, &p))
        return wrong_package(a);
    if (a->witness)
        return witness_install(a, &p);
    if (pending_already(a, p.ubr, PACKAGE_INSTALL_PENDING))
        return exit_code(a, 3010, true, true);
    if (!node_empty(a, true, NULL) &&
        (world_package_top(a->w, a->node) == NULL || world_package_top(a->w, a->node)->ubr < p.ubr))
        return ask_error(a, "not_empty", NULL, "the node is not empty");
    rc = world_install(a->w, a->node, p.kb, p.build, p.ubr, wusa, &r);
    if (rc < 0)
        return ask_refused(a, &r);
    if (rc > 0)
        return exit_code(a, wusa ? 2359302 : 0, true, false);
    a->mark = ask_host(a)->services;
    return ask_wait(a, on_serviced);
}

static bool witness_uninstall(struct ask *a, const struct wanted *p)
{
    const struct world_package *here = world_package_find(a->w, a->node, p->ubr);

    if (being_serviced(a, SERVICING_REMOVE, p->ubr))
        return ask_witness(a, "running");
    return ask_witness(a, here == NULL || here->state == PACKAGE_ABSENT ||
                                  here->state == PACKAGE_UNINSTALL_PENDING
                              ? "done"
                              : "not_done");
}

bool act_uninstall(struct ask *a)
{
    struct wanted p;
    struct refusal r;
    int rc;

    if (!read_package(a, &p))
        return wrong_package(a);
    if (a->witness)
        return witness_uninstall(a, &p);
    if (pending_already(a, p.ubr, PACKAGE_UNINSTALL_PENDING))
        return exit_code(a, 3010, true, true);
    if (world_package_find(a->w, a->node, p.ubr) != NULL && !node_empty(a, true, NULL) &&
        world_package_find(a->w, a->node, p.ubr)->state != PACKAGE_ABSENT)
        return ask_error(a, "not_empty", NULL, "the node is not empty");
    rc = world_uninstall(a->w, a->node, p.kb, p.ubr, &r);
    if (rc < 0)
        return ask_refused(a, &r);
    if (rc > 0)
        return exit_code(a, 0, true, false);
    a->mark = ask_host(a)->services;
    return ask_wait(a, on_serviced);
}

/* The copying itself is done by the driver program, which can see files. */
bool act_fetch_package(struct ask *a)
{
    if (json_get_str(a->args, "source", NULL) == NULL || json_get_str(a->args, "name", NULL) == NULL ||
        json_get_str(a->args, "to", NULL) == NULL)
        return ask_error(a, "bad_request", NULL, "`source`, `name` and `to` are needed");
    if (a->witness)
        return ask_witness(a, "cannot_tell");
    if (world_fault_hit(a->w, "fetch-fails", ask_host(a)->id) != NULL)
        return ask_error(a, "failed", "0x80070043", "the share cannot be reached");
    ask_result(a);
    jw_bool(&a->jw, "copy", true);
    return ask_finish(a);
}
