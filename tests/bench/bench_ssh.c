/* What the transport costs: cold and warm `hello` to N nodes, ten calls per
 * node, memory per session, and a file to several nodes. One real sshd per
 * node on its own loopback address, a small stand-in for the agent behind it.
 *
 *   bench_ssh [NODES...]           default 72 256; client CPU and wall seconds, medians of three runs
 *   bench_ssh --payload MIB NODES  one file to NODES nodes at once
 *
 * Compare with reference figures for one libssh2+libuv process, relay with ten
 * request/replies, cold: 72 nodes 1.0 s / 0.19 s CPU, 256 3.8 / 0.66, 512 6.8 / 1.19. */
#include "orchestrator/io/agent_client.h"
#include "orchestrator/io/loop.h"
#include "orchestrator/io/payload.h"
#include "orchestrator/io/ssh_keys.h"
#include "orchestrator/io/ssh_pool.h"
#include "orchestrator/io/ssh_session.h"
#include "schema/prng.h"
#include "schema/sha256.h"
#include "tests/lib/sshd_bed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CALLS_PER_NODE 10
#define RUNS 3
#define NODES_MAX 1024
#define CALL_LIMIT_MS 120000

struct cost {
    double wall_s, cpu_s;
};

struct node {
    struct bench *bench;
    struct sshd_bed sshd;
    struct ssh_target target;
    struct agent_client *client;
    struct payload *payload;
    unsigned left; /* calls still to make */
};

struct bench {
    struct bed bed;
    char command[BED_PATH_MAX], key[BED_PATH_MAX];
    struct loop *loop;
    struct ssh_keyring *keys;
    struct ssh_pool *pool;
    struct node *nodes;
    unsigned n, busy; /* nodes not yet through */
};

static void die(const char *what, const struct err *err)
{
    (void)fprintf(stderr, "bench_ssh: %s: %s\n", what, err->text);
    exit(1);
}

static struct cost now(void)
{
    struct timespec t;
    struct rusage u;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    (void)getrusage(RUSAGE_SELF, &u);
    return (struct cost){ (double)t.tv_sec + (double)t.tv_nsec / 1e9,
                          (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                              (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6 };
}

static struct cost since(struct cost begin)
{
    struct cost end = now();

    return (struct cost){ end.wall_s - begin.wall_s, end.cpu_s - begin.cpu_s };
}

/* KiB of memory that are ours (Pss). */
static long pss_kib(void)
{
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    long kib = 0;

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "Pss: %ld", &kib) == 1)
            break;
    }
    if (f != NULL)
        (void)fclose(f);
    return kib;
}

static void wait_all(struct bench *b)
{
    while (b->busy > 0)
        loop_turn(b->loop, 1000);
}

/* ---- calls ---- */

static void call_next(struct node *n, const char *method);

static void on_answer(void *arg, const struct rpc_message *reply, const struct err *why)
{
    struct node *n = arg;

    if (reply == NULL && why->code == ERR_CANCELLED)
        return;
    if (reply == NULL)
        die(n->sshd.address, why);
    call_next(n, "echo");
}

static void call_next(struct node *n, const char *method)
{
    struct err err;

    if (n->left == 0) {
        n->bench->busy--;
        return;
    }
    n->left--;
    if (agent_client_call(n->client, method, "{\"protocol\":{\"min\":1,\"max\":1}}", CALL_LIMIT_MS, on_answer,
                          n, &err) != 0)
        die("call", &err);
}

static void on_up(void *arg)
{
    struct node *n = arg;

    n->left = 1;
    call_next(n, "hello");
}

static void on_down(void *arg, const struct err *why, dur_ms retry_ms)
{
    (void)arg;
    (void)retry_ms;
    die("connection", why);
}

static struct cost cold_hello(struct bench *b)
{
    struct cost begin = now();

    b->busy = b->n;
    for (unsigned i = 0; i < b->n; i++) {
        struct node *n = &b->nodes[i];
        const struct agent_client_config config = {
            .pool = b->pool, .target = &n->target, .on_up = on_up, .on_down = on_down, .arg = n
        };
        struct err err;

        if (agent_client_new(&config, &n->client, &err) != 0)
            die("client", &err);
        agent_client_open(n->client);
    }
    wait_all(b);
    return since(begin);
}

static struct cost calls(struct bench *b, unsigned each)
{
    struct cost begin = now();

    b->busy = b->n;
    for (unsigned i = 0; i < b->n; i++) {
        b->nodes[i].left = each;
        call_next(&b->nodes[i], "echo");
    }
    wait_all(b);
    return since(begin);
}

/* ---- set-up ---- */

static void loop_begin(struct bench *b)
{
    struct err err;
    struct ssh_keyring_config keys = { .agent_socket = "" };
    struct ssh_pool_config pool = { .seed = 1 };

    if (loop_new(&b->loop, &err) != 0)
        die("loop", &err);
    keys.loop = pool.loop = b->loop;
    if (ssh_keyring_new(&keys, &b->keys, &err) != 0)
        die("keys", &err);
    pool.keys = b->keys;
    if (ssh_pool_new(&pool, &b->pool, &err) != 0)
        die("pool", &err);
}

static void loop_finish(struct bench *b)
{
    ssh_pool_free(b->pool);
    ssh_keyring_free(b->keys);
    loop_free(b->loop);
}

static void servers_begin(struct bench *b, unsigned n)
{
    b->n = n;
    b->nodes = calloc(n, sizeof *b->nodes);
    for (unsigned i = 0; i < n; i++) {
        struct node *node = &b->nodes[i];

        sshd_start(
            &b->bed, &node->sshd,
            &(struct sshd_setup){ .command = b->command, .hostkey_of = i > 0 ? &b->nodes[0].sshd : NULL });
        node->bench = b;
        node->target = (struct ssh_target){ .node = node->sshd.name,
                                            .address = node->sshd.address,
                                            .port = node->sshd.port,
                                            .user = b->bed.user,
                                            .key_file = b->key,
                                            .pin = &node->sshd.hostkey };
        node->target.limits = (struct ssh_limits){ .handshake_ms = CALL_LIMIT_MS, .ping_ms = CALL_LIMIT_MS };
    }
}

static void servers_finish(struct bench *b)
{
    for (unsigned i = 0; i < b->n; i++)
        sshd_stop(&b->nodes[i].sshd);
    free(b->nodes);
}

static int by_cpu(const void *a, const void *b)
{
    const struct cost *x = a, *y = b;

    return (x->cpu_s > y->cpu_s) - (x->cpu_s < y->cpu_s);
}

static void print_median(const char *what, unsigned n, struct cost runs[RUNS])
{
    qsort(runs, RUNS, sizeof runs[0], by_cpu);
    (void)printf("| %-28s | %5u | %8.3f | %8.3f | %8.2f |\n", what, n, runs[RUNS / 2].wall_s,
                 runs[RUNS / 2].cpu_s, runs[RUNS / 2].cpu_s * 1000 / n);
    (void)fflush(stdout);
}

static void fan_out(struct bench *b, unsigned n)
{
    struct cost cold[RUNS], warm[RUNS], ten[RUNS], whole[RUNS];
    long before = 0, after = 0;

    servers_begin(b, n);
    for (int run = 0; run < RUNS; run++) {
        loop_begin(b);
        before = run == 0 ? pss_kib() : before; /* later runs find their memory already there */
        cold[run] = cold_hello(b);
        after = run == 0 ? pss_kib() : after;
        warm[run] = calls(b, 1);
        ten[run] = calls(b, CALLS_PER_NODE);
        whole[run] = (struct cost){ cold[run].wall_s + ten[run].wall_s, cold[run].cpu_s + ten[run].cpu_s };
        for (unsigned i = 0; i < n; i++)
            agent_client_close(b->nodes[i].client);
        loop_finish(b);
    }
    print_median("cold hello", n, cold);
    print_median("warm call", n, warm);
    print_median("ten calls each", n, ten);
    print_median("cold hello + ten calls each", n, whole);
    (void)printf("| memory (Pss) per session     | %5u | %ld KiB in all, %.1f KiB each |\n", n, after,
                 (double)(after - before) / n);
    servers_finish(b);
}

/* ---- payload ---- */

static void on_sent(void *arg, bool had, const struct err *why)
{
    struct node *n = arg;

    (void)had;
    if (why != NULL)
        die("payload", why);
    n->bench->busy--;
}

static void make_file(const char *path, uint64_t mib, char sha256[SHA256_TEXT])
{
    static uint64_t chunk[1 << 17];
    uint8_t digest[SHA256_BYTES];
    struct sha256 s;
    struct prng r;
    FILE *f = fopen(path, "w");

    prng_init(&r, mib);
    sha256_init(&s);
    for (uint64_t i = 0; f != NULL && i < mib; i++) {
        for (size_t k = 0; k < sizeof chunk / sizeof chunk[0]; k++)
            chunk[k] = prng_next(&r);
        (void)fwrite(chunk, 1, sizeof chunk, f);
        sha256_add(&s, chunk, sizeof chunk);
    }
    if (f == NULL || fclose(f) != 0)
        exit(1);
    sha256_end(&s, digest);
    (void)sha256_hex(digest, sha256);
}

static void payloads(struct bench *b, uint64_t mib, unsigned n)
{
    char path[BED_PATH_MAX], sha256[SHA256_TEXT];
    char(*names)[32] = calloc(n, sizeof *names);
    struct cost begin, cost;

    make_file(bed_path(&b->bed, "package", path), mib, sha256);
    servers_begin(b, n);
    loop_begin(b);
    begin = now();
    b->busy = n;
    for (unsigned i = 0; i < n; i++) {
        struct payload_config config = { .pool = b->pool, .path = path, .sha256 = sha256, .on_end = on_sent };
        struct err err;

        (void)snprintf(names[i], sizeof names[i], "package-%u.msu", i);
        config.target = &b->nodes[i].target;
        config.name = names[i];
        config.arg = &b->nodes[i];
        if (payload_start(&config, &b->nodes[i].payload, &err) != 0)
            die("payload", &err);
    }
    wait_all(b);
    cost = since(begin);
    (void)printf(
        "| %" PRIu64
        " MiB to %u nodes at once: %.2f s wall, %.2f s client CPU, %.0f MiB/s, %.1f ms CPU per MiB |\n",
        mib, n, cost.wall_s, cost.cpu_s, (double)(mib * n) / cost.wall_s,
        cost.cpu_s * 1000 / (double)(mib * n));
    loop_finish(b);
    servers_finish(b);
    free(names);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct err err;

    if (ssh_library_begin(&err) != 0)
        die("libssh2", &err);
    bed_open(&b.bed);
    if (snprintf(b.command, sizeof b.command, "%s %s", ECHO_AGENT, b.bed.dir) >= (int)sizeof b.command)
        return 1;
    (void)bed_path(&b.bed, "user_ed25519", b.key);
    if (argc == 4 && strcmp(argv[1], "--payload") == 0) {
        payloads(&b, strtoull(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10));
    } else {
        (void)printf("| case                         | nodes | wall s   | CPU s    | CPU ms/node |\n");
        for (int i = 1; i < argc; i++) {
            unsigned n = (unsigned)strtoul(argv[i], NULL, 10);

            if (n > 0 && n <= NODES_MAX)
                fan_out(&b, n);
        }
        if (argc == 1) {
            fan_out(&b, 72);
            fan_out(&b, 256);
        }
    }
    bed_close(&b.bed);
    ssh_library_end();
    return 0;
}
