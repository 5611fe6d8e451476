#include "tests/torture/fault_fork.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX 2
#define CHILD_S 30 /* a child that hangs has failed */
#define EXIT_ABSORBED 3

const struct fault_trial *fault_trial;

static struct fault_trial trial;
static struct {
    enum fault_op first, last;
    unsigned stride, running;
    unsigned long n, trials, failed, absorbed, per_op[FAULT_OPS];
    const char *step;
    bool paused, healed;
    void (*look)(void); /* a walk of power cuts */
} walk;

static void reap(void)
{
    int status = 0;

    if (waitpid(-1, &status, 0) < 0)
        abort();
    walk.running--;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_ABSORBED)
        walk.absorbed++;
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        walk.failed++;
    if (WIFSIGNALED(status))
        fprintf(stderr, "# step %s, operation %lu: a child died of signal %d\n", walk.step, walk.n,
                WTERMSIG(status));
}

static bool changes_disk(enum fault_op op)
{
    return op == FAULT_WRITE || op == FAULT_TRUNCATE || op == FAULT_SYNC;
}

static bool needs_room(enum fault_op op)
{
    return op == FAULT_WRITE || op == FAULT_OPEN || op == FAULT_SHM_MAP || op == FAULT_CREATE;
}

/* What else does not work on a disk that stays broken in this way. */
static bool broken_too(enum fault_op op)
{
    if (trial.mode == FAULT_DISK_FULL || trial.mode == FAULT_FULL_SHORT)
        return needs_room(op);
    if (changes_disk(trial.op))
        return changes_disk(op);
    if (trial.op == FAULT_LOCK || trial.op == FAULT_SHM_LOCK)
        return op == FAULT_LOCK || op == FAULT_SHM_LOCK;
    return op == trial.op;
}

static bool begin_trial(enum fault_op op, enum fault_mode m, bool lasting)
{
    pid_t child;

    while (walk.running >= CHILDREN_MAX)
        reap();
    fflush(NULL);
    child = fork();
    if (child < 0)
        abort();
    if (child > 0) {
        walk.running++;
        walk.trials++;
        return false;
    }
    alarm(CHILD_S);
    trial = (struct fault_trial){ op, m, lasting, walk.n, walk.step };
    fault_trial = &trial;
    return true;
}

static enum fault_mode ask(enum fault_op op)
{
    if (fault_trial != NULL)
        return !walk.healed && trial.lasting && broken_too(op) ? trial.mode : FAULT_NONE;
    if (walk.paused || op < walk.first || op > walk.last || ++walk.n % walk.stride != 0)
        return FAULT_NONE;
    walk.per_op[op]++;
    if (walk.look != NULL) {
        if (begin_trial(op, FAULT_NONE, false)) {
            walk.healed = true;
            walk.look();
        }
        return FAULT_NONE;
    }
    for (const enum fault_mode *m = fault_modes_of(op); *m != FAULT_NONE; m++)
        for (int lasting = 0; lasting < 2; lasting++)
            if (begin_trial(op, *m, lasting == 1))
                return *m;
    return FAULT_NONE;
}

void fault_walk_begin(enum fault_op first, enum fault_op last, unsigned stride)
{
    memset(&walk, 0, sizeof walk);
    walk.first = first;
    walk.last = last;
    walk.stride = stride;
    walk.step = "";
    fault_ask = ask;
}

unsigned fault_walk_stride(unsigned usual)
{
    const char *wanted = getenv("PW_TORTURE_STRIDE");
    unsigned long n = wanted == NULL ? 0 : strtoul(wanted, NULL, 10);

    return n == 0 ? usual : (unsigned)n;
}

void fault_walk_power(unsigned stride, void (*look)(void))
{
    fault_walk_begin(FAULT_OPEN, FAULT_CREATE, stride);
    walk.look = look;
}

void fault_walk_step(const char *name)
{
    walk.step = name;
}

void fault_walk_pause(bool paused)
{
    walk.paused = paused;
}

void fault_walk_end(unsigned long *ret_trials, unsigned long *ret_failed)
{
    while (walk.running > 0)
        reap();
    fault_ask = NULL;
    *ret_trials = walk.trials;
    *ret_failed = walk.failed;
}

void fault_walk_report(const char *what)
{
    printf("# %s: %lu trials, %lu absorbed, %lu failed:", what, walk.trials, walk.absorbed, walk.failed);
    for (int op = 0; op < FAULT_OPS; op++)
        if (walk.per_op[op] > 0)
            printf(" %s %lu", fault_op_name((enum fault_op)op), walk.per_op[op]);
    printf("\n");
}

void fault_heal(void)
{
    walk.healed = true;
}

void trial_pass(bool absorbed)
{
    fflush(NULL);
    _exit(absorbed ? EXIT_ABSORBED : 0);
}

void trial_fail(const char *fmt, ...)
{
    char text[2000];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fprintf(stderr, "# step %s, operation %lu, %s fails: %s%s: %s\n", trial.step, trial.at,
            fault_op_name(trial.op), fault_mode_name(trial.mode), trial.lasting ? ", and on" : "", text);
    fflush(NULL);
    _exit(1);
}
