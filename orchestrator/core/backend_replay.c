#include "orchestrator/core/backend_replay.h"

static void replay_submit(struct backend *backend, const struct command *c)
{
    (void)c;
    ((struct backend_replay *)backend)->commands++;
}

void backend_replay_init(struct backend_replay *b)
{
    b->backend.submit = replay_submit;
    b->commands = 0;
}
