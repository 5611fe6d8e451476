#include "orchestrator/approval_check.h"

int approval_check(struct store *s, const struct plan *p, time_ms now, struct approval_found *ret_approval,
                   struct err *err)
{
    char text[TIME_TEXT_MAX];
    int rc = store_find_approval(s, p->hash, ret_approval, err);

    if (rc == ERR_NOT_FOUND && err != NULL)
        return (int)(err->code = ERR_REFUSED);
    if (rc == 0 && ret_approval->expires <= now)
        return err_set(err, ERR_REFUSED,
                       "the approval of plan %.12s by %s (%s) ran out at %s (O34): approve it again", p->hash,
                       ret_approval->person, ret_approval->ticket, time_text(ret_approval->expires, text));
    return rc;
}
