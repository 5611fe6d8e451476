#include "examples/lab/lab_daemon_impl.h"

#include "examples/lab/lab_keeper.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static void start_one(struct daemon *d, uint32_t node)
{
    struct err err;

    if (d->keepers[node] > 0)
        return;
    if (lab_keeper_start(d->wish->dir, d->world.nodes.items[node].id, d->wish->agent, &d->keepers[node],
                         &err) != 0)
        fprintf(stderr, "hvlab: %s: %s\n", d->world.nodes.items[node].id, err.text);
}

void nodes_start(struct daemon *d)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (uint32_t i = 0; i < d->world.nodes.n; i++)
        if (d->world.nodes.items[i].power != POWER_OFF)
            start_one(d, i);
}

void nodes_power(void *owner, uint32_t node, bool on)
{
    struct daemon *d = owner;

    if (!d->wish->processes)
        return;
    if (on)
        start_one(d, node);
    else if (d->keepers[node] > 0)
        kill(d->keepers[node], SIGTERM);
}

/* A keeper that is gone while its node has power is started again. */
void nodes_reap(struct daemon *d)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (uint32_t i = 0; d->keepers != NULL && i < d->world.nodes.n; i++) {
            if (d->keepers[i] != pid)
                continue;
            d->keepers[i] = 0;
            if (!d->stopping && d->world.nodes.items[i].power != POWER_OFF)
                start_one(d, i);
        }
}

static bool any_left(const struct daemon *d)
{
    for (uint32_t i = 0; i < d->world.nodes.n; i++)
        if (d->keepers[i] > 0)
            return true;
    return false;
}

void nodes_stop(struct daemon *d)
{
    if (d->keepers == NULL)
        return;
    for (uint32_t i = 0; i < d->world.nodes.n; i++)
        if (d->keepers[i] > 0)
            kill(d->keepers[i], SIGTERM);
    for (int i = 0; i < 1000 && any_left(d); i++) {
        nodes_reap(d);
        nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    }
}
