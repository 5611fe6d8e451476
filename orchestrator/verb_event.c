#include "orchestrator/verb_event.h"

#include <string.h>

static int read_decision(const char *text, enum op_witness *ret, struct err *err)
{
    if (text == NULL)
        *ret = WITNESS_NOT_ASKED;
    else if (strcmp(text, "done") == 0)
        *ret = WITNESS_SAYS_DONE;
    else if (strcmp(text, "not_done") == 0)
        *ret = WITNESS_SAYS_NOT_DONE;
    else
        return err_set(err, ERR_INVALID, "a decision is done or not_done, not \"%s\"", text);
    return 0;
}

int verb_event_read(const json *params, const char *person, const struct inventory *inv, struct event *ret_ev,
                    struct err *err)
{
    const char *node = json_get_str(params, "node", NULL);
    struct event ev = { .type = EV_VERB, .node = IX_NONE, .cluster = IX_NONE };
    int verb = verb_by_name(json_get_str(params, "verb", ""));
    int rc = read_decision(json_get_str(params, "decision", NULL), &ev.u.verb.decision, err);

    if (rc != 0)
        return rc;
    if (verb < 0)
        return err_set(err, ERR_INVALID, "unknown verb \"%s\"", json_get_str(params, "verb", ""));
    ev.u.verb.verb = (enum verb)verb;
    if (node != NULL && (ev.node = inventory_node(inv, node)) == IX_NONE)
        return err_set(err, ERR_NOT_FOUND, "no node \"%s\" in this run's plan", node);
    ev.u.verb.person = person;
    ev.u.verb.ticket = json_get_str(params, "ticket", NULL);
    ev.u.verb.reason = json_get_str(params, "reason", NULL);
    ev.u.verb.op = json_get_str(params, "op", NULL);
    ev.u.verb.accept_unknown = json_get_bool(params, "accept_unknown", false);
    *ret_ev = ev;
    return 0;
}
