/* An operator's verb as JSON, as it goes over the control socket, and as an
 * event. One reader for both ways. */
#ifndef PATCHWAVE_VERB_EVENT_H
#define PATCHWAVE_VERB_EVENT_H

#include "orchestrator/core/event.h"

/* {"verb":"set-aside","node":"HV07","ticket","reason","op","accept_unknown","decision":"done"|"not_done"}.
 * ERR_INVALID, ERR_NOT_FOUND (a node). Strings are borrowed. */
int verb_event_read(const json *params, const char *person, const struct inventory *inv, struct event *ret_ev,
                    struct err *err);

#endif
