/* The simulator's command.
 *
 *   sim_patchwave --seed 7            one seed
 *   sim_patchwave --seeds 1..100000   many; stops at the first violation
 *   sim_patchwave --seconds 180       from --seed on, for so long
 *   ... --faults 1,22  only these     --calm  none        --keep-going
 *   ... --armed 23,33  only seeds that have one of these
 *   ... --shrink  make a failing seed smaller             --verbose
 *   ... --history FILE  record the log (tests/histories)
 *   ... --hash    print each seed's log hash
 *   ... --kill-points A..B  the controller dies there      --twice  and again in each of the first places of its recovery
 *   ... --same-outcome  the faults may cost time, and change nothing of what the rollout comes to
 *   ... --campaign FILE  goes on where FILE says, and keeps there what it met
 */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct work {
    struct sim_options opt;
    const char *state; /* a campaign's file: where it goes on, and what it has met */
    uint64_t from, to;
    long seconds;
    bool shrink, hash, keep_going, quiet, no_fork;
    uint64_t kill_from, kill_to, kill_every; /* kill points per seed; 0,0: none */
    bool twice, same_outcome;
    uint64_t broken;
    struct seeds LIST_OF(uint64_t) skip;
};

static struct sim sim;
/* Shared with the parent: a broken assertion ends the child that plays, and the next child goes on behind it. */
static struct shared {
    struct sim_totals totals;
    struct sim_options playing;
    uint64_t killed[SIM_KILL_PLACES][EVENT_TYPES + 1];
    uint64_t broken, compared;
    bool over;
} * shared;

static int usage(void)
{
    fprintf(stderr,
            "sim_patchwave: --seed N | --seeds A..B | --seconds N [--faults LIST] [--armed LIST] [--calm] "
            "[--shrink] [--verbose] [--hash]\n"
            "               [--keep-going] [--quiet] [--replay] [--nodes N] [--vms N] [--drop MASK] "
            "[--no-verbs] [--timed] [--mild] [--plain] [--plain-gates]\n"
            "               [--kill N [--again N] | --kill-points A..B [--every N] [--twice]] "
            "[--with-faults]\n"
            "               [--same-outcome] [--skip FILE] [--campaign FILE] "
            "[--history FILE]\n");
    return 2;
}

static uint64_t fault_list(const char *text)
{
    uint64_t mask = 0;

    while (*text != '\0') {
        char *end;
        unsigned long n = strtoul(*text == 'F' ? text + 1 : text, &end, 10);

        if (n == 0 || n >= SIM_FAULTS || end == text)
            return 0;
        mask |= (uint64_t)1 << n;
        text = *end == ',' ? end + 1 : end;
    }
    return mask;
}

static bool range(const char *text, uint64_t *from, uint64_t *to)
{
    char *end;

    *from = strtoull(text, &end, 10);
    if (strncmp(end, "..", 2) != 0)
        return false;
    *to = strtoull(end + 2, &end, 10);
    return *end == '\0' && *to >= *from;
}

/* Seeds that are known to break, one in a line, growing. */
static bool skip_file(struct work *w, const char *path)
{
    FILE *f = fopen(path, "r");
    char number[32];

    if (f == NULL)
        return false;
    while (fscanf(f, "%31s", number) == 1) {
        uint64_t *slot = list_push(&w->skip);

        if (slot != NULL)
            *slot = strtoull(number, NULL, 10);
    }
    fclose(f);
    return true;
}

static bool skipped(const struct work *w, uint64_t n)
{
    for (uint32_t i = 0; i < w->skip.n; i++)
        if (w->skip.items[i] == n)
            return true;
    return false;
}

static bool flag(struct work *w, const char *name)
{
    if (strcmp(name, "--shrink") == 0)
        w->shrink = true;
    else if (strcmp(name, "--verbose") == 0)
        w->opt.verbose = true;
    else if (strcmp(name, "--hash") == 0)
        w->hash = true;
    else if (strcmp(name, "--keep-going") == 0)
        w->keep_going = true;
    else if (strcmp(name, "--quiet") == 0)
        w->quiet = true;
    else if (strcmp(name, "--no-fork") == 0)
        w->no_fork = true;
    else if (strcmp(name, "--replay") == 0)
        w->opt.replay = true;
    else if (strcmp(name, "--calm") == 0)
        w->opt.calm_only = true;
    else if (strcmp(name, "--timed") == 0)
        w->opt.timed = true;
    else if (strcmp(name, "--no-verbs") == 0)
        w->opt.no_verbs = true;
    else if (strcmp(name, "--plain") == 0)
        w->opt.plain = true;
    else if (strcmp(name, "--plain-gates") == 0)
        w->opt.plain_gates = true;
    else if (strcmp(name, "--mild") == 0)
        w->opt.mild = true;
    else if (strcmp(name, "--with-faults") == 0)
        w->opt.with_faults = true;
    else if (strcmp(name, "--twice") == 0)
        w->twice = true;
    else if (strcmp(name, "--same-outcome") == 0)
        w->same_outcome = true;
    else
        return false;
    return true;
}

static bool valued(struct work *w, const char *name, const char *value)
{
    if (strcmp(name, "--seed") == 0)
        w->from = w->to = strtoull(value, NULL, 10);
    else if (strcmp(name, "--seeds") == 0)
        return range(value, &w->from, &w->to);
    else if (strcmp(name, "--seconds") == 0)
        w->seconds = strtol(value, NULL, 10);
    else if (strcmp(name, "--faults") == 0)
        return (w->opt.fault_mask = fault_list(value)) != 0;
    else if (strcmp(name, "--armed") == 0)
        return (w->opt.armed_mask = fault_list(value)) != 0;
    else if (strcmp(name, "--nodes") == 0)
        w->opt.nodes_max = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "--vms") == 0)
        w->opt.vms_max = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "--drop") == 0)
        w->opt.drop_mask = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "--kill") == 0)
        w->opt.kill_at = strtoll(value, NULL, 10);
    else if (strcmp(name, "--again") == 0)
        w->opt.kill_again = strtoll(value, NULL, 10);
    else if (strcmp(name, "--every") == 0)
        return (w->kill_every = strtoull(value, NULL, 10)) > 0;
    else if (strcmp(name, "--campaign") == 0)
        w->state = value;
    else if (strcmp(name, "--skip") == 0)
        return skip_file(w, value);
    else if (strcmp(name, "--history") == 0)
        w->opt.history = value;
    else if (strcmp(name, "--kill-points") == 0)
        return range(value, &w->kill_from, &w->kill_to);
    else
        return false;
    return true;
}

static bool options(int argc, char **argv, struct work *w)
{
    for (int i = 1; i < argc; i++) {
        if (flag(w, argv[i]))
            continue;
        if (i + 1 >= argc || !valued(w, argv[i], argv[i + 1]))
            return false;
        i++;
    }
    return true;
}

static void again(const struct sim_options *o)
{
    printf("again: sim_patchwave --seed %" PRIu64, o->seed);
    if (o->drop_mask != 0)
        printf(" --drop %u", o->drop_mask);
    if (o->nodes_max != 0)
        printf(" --nodes %u", o->nodes_max);
    if (o->vms_max != 0)
        printf(" --vms %u", o->vms_max);
    if (o->no_verbs)
        printf(" --no-verbs");
    if (o->calm_only)
        printf(" --calm");
    if (o->timed)
        printf(" --timed");
    if (o->mild)
        printf(" --mild");
    if (o->plain)
        printf(" --plain");
    if (o->plain_gates)
        printf(" --plain-gates");
    if (o->kill_at >= 0)
        printf(" --kill %" PRId64, o->kill_at);
    if (o->kill_again >= 0)
        printf(" --again %" PRId64, o->kill_again);
    if (o->with_faults)
        printf(" --with-faults");
    if (o->expected != NULL && o->kill_at < 0)
        printf(" --same-outcome");
    if (o->fault_mask != 0) {
        const char *sep = " --faults ";

        for (uint32_t i = 1; i < SIM_FAULTS; i++)
            if (o->fault_mask >> i & 1u) {
                printf("%s%u", sep, i);
                sep = ",";
            }
    }
    printf(" --verbose\n");
}

/* The same invariant still breaks? */
static bool still(const struct sim_options *o, int invariant)
{
    return !sim_play(&sim, o) && sim.oracle.broken == invariant;
}

static void shrink(struct sim_options o)
{
    int invariant = sim.oracle.broken;
    struct sim_options t;

    o.verbose = false;
    for (uint32_t i = 0; i < SIM_ARMED; i++) {
        t = o;
        t.drop_mask |= 1u << i;
        if (i < sim.n_armed && still(&t, invariant))
            o = t;
    }
    t = o;
    t.no_verbs = true;
    if (still(&t, invariant))
        o = t;
    for (uint32_t n = 2; n < WORLD_NODES; n++) {
        t = o;
        t.nodes_max = n;
        if (still(&t, invariant)) {
            o = t;
            break;
        }
    }
    for (uint32_t n = 1; n < 40; n += 2) {
        t = o;
        t.vms_max = n;
        if (still(&t, invariant)) {
            o = t;
            break;
        }
    }
    still(&o, invariant);
    printf("shrunk: %s\n", buf_text(&sim.oracle.why));
    for (uint32_t i = 0; i < sim.n_armed; i++)
        if (sim.armed[i].fired)
            printf("  with %s %s\n", sim_fault_rows[sim.armed[i].fault].id,
                   sim_fault_rows[sim.armed[i].fault].text);
    again(&o);
}

static void one(struct work *w, const struct sim_options *o)
{
    bool good = sim_play(&sim, o);

    shared->compared += sim.compared;
    if (w->hash)
        printf("%" PRIu64 " %s\n", o->seed, sim.hash);
    if (good)
        return;
    w->broken++;
    if (w->quiet) {
        printf("%" PRIu64 " %s\n", o->seed, buf_text(&sim.oracle.why));
        return;
    }
    printf("VIOLATION seed %" PRIu64 ": %s\n", o->seed, buf_text(&sim.oracle.why));
    again(o);
    if (w->shrink)
        shrink(*o);
}

/* The survey's end, around the start's append and submit, and around the first event after it. */
#define AGAIN 7

static bool killed(struct work *w, const struct sim_options *o)
{
    shared->playing.kill_at = o->kill_at;
    shared->playing.kill_again = o->kill_again;
    one(w, o);
    for (int p = 0; p < SIM_KILL_PLACES; p++)
        for (int e = 0; e <= EVENT_TYPES; e++)
            shared->killed[p][e] += sim.killed[p][e];
    return sim.kill_point > (uint64_t)o->kill_at;
}

static void print_killed(void)
{
    static const char *const places[SIM_KILL_PLACES] = { "before append", "after append", "after submit",
                                                         "in recovery" };

    for (int p = 0; p < SIM_KILL_PLACES; p++) {
        uint64_t all = 0;

        for (int e = 0; e <= EVENT_TYPES; e++)
            all += shared->killed[p][e];
        printf("died %s: %" PRIu64, places[p], all);
        for (int e = 0; e < EVENT_TYPES; e++)
            if (shared->killed[p][e] > 0)
                printf(" %s:%" PRIu64, event_type_name((enum event_type)e), shared->killed[p][e]);
        printf("\n");
    }
}

/* What the rollout comes to when nothing goes wrong. With faults after a kill it is not asked: they strike elsewhere then. */
static void undisturbed(struct work *w, const struct sim_options *o, struct buf *outcome)
{
    struct sim_options calm = *o;

    if (o->with_faults)
        return;
    calm.calm_only = true;
    calm.outcome = outcome;
    one(w, &calm);
}

static void seed(struct work *w, uint64_t n)
{
    struct sim_options o = w->opt;
    struct buf outcome = BUF_INIT;

    o.seed = n;
    if (w->kill_to > 0 || w->same_outcome)
        undisturbed(w, &o, &outcome);
    o.expected = outcome.len > 0 ? buf_text(&outcome) : NULL;
    if (w->kill_to == 0)
        one(w, &o);
    for (uint64_t k = w->kill_from; w->kill_to > 0 && k <= w->kill_to && (w->broken == 0 || w->keep_going);
         k += w->kill_every) {
        o.kill_at = (int64_t)k;
        if (!killed(w, &o)) /* this run had no such point any more */
            break;
        for (int64_t again = 0; w->twice && again < AGAIN && (w->broken == 0 || w->keep_going); again++) {
            o.kill_again = again;
            (void)killed(w, &o);
        }
        o.kill_again = -1;
    }
    buf_clear(&outcome);
}

static uint64_t cpu_ms(void)
{
    return (uint64_t)clock() * 1000 / CLOCKS_PER_SEC;
}

/* Where the campaign stands, for whoever looks or goes on with it. */
static void keep_state(const struct work *w, uint64_t next, uint64_t cpu_before)
{
    struct sim_totals *t = &shared->totals;

    t->cpu_ms = cpu_before + cpu_ms();
    t->next = next;
    if (w->state == NULL)
        return;
    if (!sim_totals_save(t, w->state))
        fprintf(stderr, "sim_patchwave: cannot write %s\n", w->state);
    printf("seed %" PRIu64 ": %" PRIu64 " rollouts, %" PRIu64 " counted, %" PRIu64 " violations, %" PRIu64
           " s of CPU\n",
           next - 1, t->runs, t->valid, t->broken, t->cpu_ms / 1000);
}

static void campaign(struct work *w)
{
    time_t end = time(NULL) + w->seconds;
    uint64_t cpu_before = shared->totals.cpu_ms, played = w->from;

    sim.totals = &shared->totals;
    for (uint64_t n = w->from;
         (w->seconds > 0 ? time(NULL) < end : n <= w->to) && (w->broken == 0 || w->keep_going); n++) {
        if (skipped(w, n))
            continue;
        shared->playing.seed = n;
        shared->totals.broken -= w->broken;
        seed(w, n);
        shared->totals.broken += w->broken;
        played = n + 1;
        if (n % 10000 == 0)
            keep_state(w, played, cpu_before);
    }
    keep_state(w, played, cpu_before);
    shared->broken += w->broken;
    shared->over = true;
}

/* An assertion of the engine's or the agent's broke: a violation of I25 that has no text but the assertion's. */
static bool after_abort(struct work *w, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
        printf("out of CPU time at seed %" PRIu64 "\n", shared->playing.seed);
        shared->broken++;
        return false;
    }
    printf("VIOLATION seed %" PRIu64 ": an assertion broke (see above)\n", shared->playing.seed);
    again(&shared->playing);
    shared->broken++;
    shared->totals.broken++;
    w->from = shared->playing.seed + 1;
    return w->keep_going && (w->seconds > 0 || w->from <= w->to);
}

static void in_children(struct work *w)
{
    time_t begun = time(NULL);
    long seconds = w->seconds;
    int status;

    do {
        pid_t child = fork();

        status = 0;
        if (child == 0) {
            campaign(w);
            fflush(stdout);
            _exit(0);
        }
        waitpid(child, &status, 0);
        if (seconds > 0)
            w->seconds = seconds - (long)(time(NULL) - begun);
    } while (!shared->over && after_abort(w, status) && (seconds == 0 || w->seconds > 0));
}

int main(int argc, char **argv)
{
    struct work w = { .opt = { .kill_at = -1, .kill_again = -1 }, .from = 1, .to = 1, .kill_every = 1 };

    if (!options(argc, argv, &w))
        return usage();
    setvbuf(stdout, NULL, _IOLBF, 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    shared->playing = w.opt;
    if (w.state != NULL && sim_totals_load(&shared->totals, w.state) && shared->totals.next > w.from)
        w.from = shared->totals.next;
    if (w.opt.verbose || w.no_fork)
        campaign(&w);
    else
        in_children(&w);
    if (!w.quiet && !w.hash)
        sim_totals_print(&shared->totals);
    if (w.same_outcome)
        printf("outcomes compared: %" PRIu64 "\n", shared->compared);
    if (w.kill_to > 0)
        print_killed();
    if (w.opt.fault_mask == 0 && !w.opt.calm_only && !sim_totals_judge(&shared->totals))
        shared->broken++;
    sim_free(&sim);
    return shared->broken == 0 ? 0 : 1;
}
