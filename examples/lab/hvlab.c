/* hvlab: a simulated Hyper-V fleet. One verb per line of the table. */
#include "examples/lab/lab_client.h"
#include "examples/lab/lab_daemon.h"
#include "examples/lab/lab_dir.h"
#include "examples/lab/lab_keeper.h"
#include "examples/lab/make_files.h"
#include "examples/lab/make_fleet.h"
#include "examples/lab/world_store.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

struct options {
    char dir[LAB_PATH], agent[LAB_PATH + 32];
    const char *node, *socket, *fleet, *net;
    int64_t nodes, seed, speed, port;
    bool removable, processes, json;
    const char *words[4]; /* what is no option */
    int n_words;
};

static int64_t wall_now_ms(void)
{
    struct timeval tv;

    gettimeofday(&tv, NULL);
    return (int64_t)tv.tv_sec * 1000 + tv.tv_usec / 1000;
}

/* --- make --- */

/* Nobody listens on the address where a node's sshd would. */
static bool is_free(const char *net, unsigned last, int64_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[32];
    bool yes;

    snprintf(text, sizeof text, "%.11s.%u", net, last);
    yes = fd >= 0 && inet_pton(AF_INET, text, &at.sin_addr) == 1 &&
          bind(fd, (const struct sockaddr *)&at, sizeof at) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

/* Labs on one machine keep apart: the net is taken from the folder and the
 * process, so that one made anew does not meet what is left of the last, and
 * another is tried while somebody listens there. */
static void choose_net(const struct options *o, char out[16])
{
    uint32_t h = 2166136261u ^ (uint32_t)getpid();

    if (o->net != NULL) {
        snprintf(out, 16, "%s", o->net);
        return;
    }
    for (const char *p = o->dir; *p != 0; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    for (uint32_t i = 0; i < 50; i++, h += 7919) {
        snprintf(out, 16, "127.%u.%u", 16 + h % 200, (h >> 8) % 250);
        if (is_free(out, 2, o->port) && is_free(out, 3, o->port) && is_free(out, 4, o->port))
            return;
    }
}

static int refuse_old(const char *dir, struct err *err)
{
    char path[LAB_PATH];

    if (access(lab_path(dir, "world.db", path), F_OK) == 0)
        return err_set(err, ERR_EXISTS, "%s already holds a lab", dir);
    return lab_mkdir(dir, err);
}

static int store_new(const char *dir, const struct world *w, struct err *err)
{
    struct world_store *s = NULL;
    char path[LAB_PATH];
    int rc = world_store_open(lab_path(dir, "world.db", path), &s, err);

    if (rc == 0)
        rc = world_store_save(s, w, err);
    if (rc == 0)
        (void)chmod(path, 0600); /* it holds the truth */
    world_store_close(s);
    return rc;
}

static int verb_make(const struct options *o, struct err *err)
{
    struct fleet_wish wish = { .nodes = (uint32_t)o->nodes,
                               .seed = o->seed,
                               .factor = o->speed,
                               .mixed = strcmp(o->fleet, "mixed") == 0,
                               .removable = o->removable,
                               .port = o->port,
                               .anchor_ms = wall_now_ms() };
    struct world w = { 0 };
    int rc = refuse_old(o->dir, err);

    choose_net(o, wish.net);
    if (rc == 0)
        rc = fleet_make(&wish, &w, err);
    if (rc == 0)
        rc = lab_files_make(&w, o->dir, o->agent, err);
    if (rc == 0)
        rc = store_new(o->dir, &w, err);
    if (rc == 0)
        printf("%u nodes, %u VMs, %u clusters in %s\n", w.nodes.n, w.vms.n, w.clusters.n, o->dir);
    world_clear(&w);
    return rc;
}

/* --- the others --- */

static int verb_serve(const struct options *o, struct err *err)
{
    return lab_serve(&(struct serve_wish){ o->dir, o->socket, o->processes, o->agent }, err);
}

static int verb_keep(const struct options *o, struct err *err)
{
    (void)err;
    return lab_keeper_main(o->dir, o->node, o->agent);
}

static int verb_truth(const struct options *o, struct err *err)
{
    return lab_print_truth(o->dir, o->json, err);
}

static int verb_fault(const struct options *o, struct err *err)
{
    const char *what = o->n_words > 0 ? o->words[0] : "list";

    if (strcmp(what, "list") == 0)
        return lab_fault_list(o->dir, err);
    if (o->n_words < 3 || (strcmp(what, "add") != 0 && strcmp(what, "remove") != 0))
        return err_set(err, ERR_INVALID, "hvlab fault list | add NAME NODE|VM [ARG] | remove NAME NODE|VM");
    return lab_fault(o->dir, what, o->words[1], o->words[2], o->n_words > 3 ? o->words[3] : "", err);
}

static int verb_wait(const struct options *o, struct err *err)
{
    return lab_wait(o->dir, err);
}

static const struct verb {
    const char *name;
    int (*run)(const struct options *o, struct err *err);
    bool needs_dir;
    const char *help;
} verbs[] = {
    { "make", verb_make, true,
      "--dir DIR [--nodes 72] [--seed 1] [--speed 150] [--fleet default|mixed] [--removable] [--agent "
      "PATH]" },
    { "serve", verb_serve, true, "--dir DIR [--socket PATH] [--processes] [--agent PATH]   until SIGTERM" },
    { "wait", verb_wait, true, "--dir DIR   until every node's sshd and agent answer" },
    { "fault", verb_fault, false, "[--dir DIR] list | add NAME NODE|VM [ARG] | remove NAME NODE|VM" },
    { "truth", verb_truth, true, "--dir DIR [--json]   what really happened" },
    { "keep", verb_keep, true, NULL }, /* a node's machine room; started by serve */
};

static int usage(FILE *out)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (verbs[i].help != NULL)
            fprintf(out, "hvlab %-6s %s\n", verbs[i].name, verbs[i].help);
    return 2;
}

/* --- options --- */

static int absolute(const char *path, char *out, size_t size, struct err *err)
{
    char cwd[PATH_MAX];
    int n;

    if (path[0] == '/')
        n = snprintf(out, size, "%s", path);
    else if (getcwd(cwd, sizeof cwd) == NULL)
        return err_set(err, ERR_IO, "the current folder is gone");
    else
        n = snprintf(out, size, "%s/%s", cwd, path);
    return n > 0 && (size_t)n < size && n < 200 ? 0
                                                : err_set(err, ERR_INVALID, "%s: the path is too long", path);
}

static int number(const char *name, const char *text, int64_t lo, int64_t hi, int64_t *ret, struct err *err)
{
    char *end;
    long long v = strtoll(text, &end, 10);

    if (*text == 0 || *end != 0 || v < lo || v > hi)
        return err_set(err, ERR_INVALID, "%s: \"%s\" is not a number from %lld to %lld", name, text,
                       (long long)lo, (long long)hi);
    *ret = v;
    return 0;
}

static int set_option(struct options *o, const char *name, const char *value, struct err *err)
{
    if (strcmp(name, "--dir") == 0)
        return absolute(value, o->dir, sizeof o->dir, err);
    if (strcmp(name, "--agent") == 0)
        return absolute(value, o->agent, sizeof o->agent, err);
    if (strcmp(name, "--nodes") == 0)
        return number(name, value, 1, 1000, &o->nodes, err);
    if (strcmp(name, "--seed") == 0)
        return number(name, value, 0, INT64_MAX, &o->seed, err);
    if (strcmp(name, "--speed") == 0)
        return number(name, value, 1, 100000, &o->speed, err);
    if (strcmp(name, "--port") == 0)
        return number(name, value, 1, 65534, &o->port, err);
    if (strcmp(name, "--fleet") == 0 && strcmp(value, "default") != 0 && strcmp(value, "mixed") != 0)
        return err_set(err, ERR_INVALID, "--fleet is default or mixed, not \"%s\"", value);
    if (strcmp(name, "--fleet") == 0)
        o->fleet = value;
    else if (strcmp(name, "--net") == 0)
        o->net = value;
    else if (strcmp(name, "--node") == 0)
        o->node = value;
    else if (strcmp(name, "--socket") == 0)
        o->socket = value;
    else
        return err_set(err, ERR_INVALID, "%s %s: not understood", name, value);
    return 0;
}

static bool set_flag(struct options *o, const char *name)
{
    bool *at = strcmp(name, "--removable") == 0   ? &o->removable
               : strcmp(name, "--processes") == 0 ? &o->processes
               : strcmp(name, "--json") == 0      ? &o->json
                                                  : NULL;

    if (at != NULL)
        *at = true;
    return at != NULL;
}

/* Beside this program when installed, in its own folder when built. */
static void find_agent(const char *own, char *out, size_t size)
{
    snprintf(out, size, "%s/patchwave-agent", own);
    if (access(out, X_OK) != 0)
        snprintf(out, size, "%s/../../agent/patchwave-agent", own);
}

static int read_options(struct options *o, int argc, char **argv, struct err *err)
{
    char own[LAB_PATH];
    int rc = lab_own_folder(own, err);

    *o = (struct options){
        .node = "", .fleet = "default", .nodes = 72, .seed = 1, .speed = 150, .port = 10022
    };
    if (rc == 0)
        find_agent(own, o->agent, sizeof o->agent);
    for (int i = 2; rc == 0 && i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0 && o->n_words < 4)
            o->words[o->n_words++] = argv[i];
        else if (set_flag(o, argv[i]))
            continue;
        else if (i + 1 >= argc)
            rc = err_set(err, ERR_INVALID, "%s: not understood, or its value is missing", argv[i]);
        else {
            rc = set_option(o, argv[i], argv[i + 1], err);
            i++;
        }
    }
    return rc;
}

int main(int argc, char **argv)
{
    const struct verb *v = NULL;
    struct options o;
    struct err err = { 0 };
    int rc;

    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            v = &verbs[i];
    if (v == NULL)
        return usage(stderr);
    rc = read_options(&o, argc, argv, &err);
    if (rc == 0 && v->needs_dir && o.dir[0] == 0)
        rc = err_set(&err, ERR_INVALID, "--dir is needed");
    if (rc == 0)
        rc = v->run(&o, &err);
    if (rc != 0)
        fprintf(stderr, "hvlab: %s\n", err.text);
    return rc == 0 ? 0 : 1;
}
