/* A driver for tests of the agent: its world is a folder (argv[1]).
 *   machine_id, boot_id   what facts tells
 *   behave.json           {"ACTION":{...}}: how it behaves, see below; `witness:ACTION` for witnesses
 *   effects               one line "OP ACTION" per effect that happened: the truth
 *   left                  when there: check_empty answers that something is left
 *   starts                a byte per process that was started to answer
 * Behaviour: delay_ms (before the effect), hang (for ever after it), error {...}
 * (no effect), answer "text" (in place of the true one), late "text" (a line more,
 * half a second after it), exit (code), err_bytes
 * and out_bytes (floods), progress (percent list is 10 50 90), say "text" (to
 * standard error), child "name" (a process of its own that adds to the file of
 * that name for a minute, or until there is a file `stop`). */
#include "schema/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

static const char *world;

static void read_all(FILE *f, struct buf *out)
{
    char block[4096];
    size_t n;

    while ((n = fread(block, 1, sizeof block, f)) > 0)
        buf_add(out, block, n);
}

static bool read_world(const char *name, struct buf *out)
{
    char path[2048];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", world, name);
    f = fopen(path, "rb");
    if (f == NULL)
        return false;
    read_all(f, out);
    fclose(f);
    return true;
}

static bool has_effect(const char *op)
{
    struct buf all = BUF_INIT;
    char wanted[256];
    bool found;

    snprintf(wanted, sizeof wanted, "%s ", op);
    found = read_world("effects", &all) && strstr(buf_text(&all), wanted) != NULL;
    buf_clear(&all);
    return found;
}

static void add_effect(const char *op, const char *action)
{
    char path[2048];
    FILE *f;

    snprintf(path, sizeof path, "%s/effects", world);
    f = fopen(path, "ab");
    if (f == NULL || fprintf(f, "%s %s\n", op, action) < 0 || fclose(f) != 0)
        exit(9);
}

static void add_start(void)
{
    char path[2048];
    FILE *f;

    snprintf(path, sizeof path, "%s/starts", world);
    f = fopen(path, "ab");
    if (f == NULL || fputc('.', f) == EOF || fclose(f) != 0)
        exit(9);
}

static void flood(FILE *to, int64_t bytes)
{
    char block[4096];

    memset(block, 'x', sizeof block);
    block[sizeof block - 1] = '\n';
    for (; bytes > 0; bytes -= (int64_t)sizeof block)
        if (fwrite(block, sizeof block, 1, to) != 1)
            exit(8);
    fflush(to);
}

static void write_facts(struct json_writer *w)
{
    struct buf machine = BUF_INIT, boot = BUF_INIT, extra = BUF_INIT;

    read_world("machine_id", &machine);
    read_world("boot_id", &boot);
    jw_str(w, "machine_id", buf_text(&machine));
    jw_str(w, "boot_id", buf_text(&boot));
    jw_object(w, "os");
    jw_int(w, "build", 26100);
    jw_int(w, "ubr", 4061);
    jw_object_end(w);
    jw_int(w, "memory_mib", 65536);
    jw_int(w, "host_reserve_mib", 4096);
    if (read_world("clock_error_ms", &extra))
        jw_int(w, "clock_error_ms", strtoll(buf_text(&extra), NULL, 10));
    buf_clear(&machine);
    buf_clear(&boot);
    buf_clear(&extra);
}

/* So many VMs of 1 GiB as the file `vms` says. */
static void write_vms(struct json_writer *w)
{
    struct buf n = BUF_INIT;
    long count = read_world("vms", &n) ? strtol(buf_text(&n), NULL, 10) : 2;
    char id[64];

    jw_array(w, "vms");
    for (long i = 0; i < count; i++) {
        snprintf(id, sizeof id, "00000000-0000-4000-8000-%012lx", i);
        jw_object(w, NULL);
        jw_str(w, "id", id);
        jw_str(w, "name", "a \xe4\xbb\xae\xe6\x83\xb3 machine");
        jw_str(w, "state", "running");
        jw_object(w, "memory");
        jw_int(w, "assigned_mib", 1024);
        jw_object_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_null(w, "next");
    buf_clear(&n);
}

static void write_empty(struct json_writer *w)
{
    struct buf left = BUF_INIT;
    bool is_left = read_world("left", &left);

    jw_bool(w, "empty", !is_left);
    jw_array(w, "left");
    if (is_left) {
        jw_object(w, NULL);
        jw_str(w, "kind", "vm");
        jw_str(w, "id", "00000000-0000-4000-8000-000000000001");
        jw_str(w, "name", "db1");
        jw_str(w, "why", "running");
        jw_object_end(w);
    }
    jw_array_end(w);
    buf_clear(&left);
}

static void put_answer(const struct buf *out)
{
    if (fwrite(buf_text(out), 1, out->len, stdout) != out->len || fflush(stdout) != 0)
        exit(7);
}

static const json *behaviour(const json *all, const char *action, const char *mode)
{
    char key[64];

    snprintf(key, sizeof key, "%s%s", strcmp(mode, "witness") == 0 ? "witness:" : "", action);
    return json_get(all, key);
}

static void misbehave_first(const json *b)
{
    static const int percents[] = { 10, 50, 90 };

    flood(stderr, json_get_int(b, "err_bytes", 0));
    flood(stdout, json_get_int(b, "out_bytes", 0));
    for (int i = 0; json_get_bool(b, "progress", false) && i < 3; i++)
        fprintf(stderr, "{\"progress\":{\"percent\":%d,\"text\":\"step %d\"}}\n", percents[i], i);
    if (json_get_str(b, "say", NULL) != NULL)
        fprintf(stderr, "%s\n", json_get_str(b, "say", ""));
    fflush(stderr);
    uv_sleep((unsigned)json_get_int(b, "delay_ms", 0));
}

static void misbehave_last(const json *b, const char *line, int number)
{
    while (json_get_bool(b, "hang", false))
        uv_sleep(1000);
    if (json_get_str(b, "answer", NULL) != NULL) {
        fprintf(stdout, "%.*s%s", number, line, json_get_str(b, "answer", ""));
        exit((int)json_get_int(b, "exit", 0));
    }
}

/* One more line, when the next question may have come. */
static void say_late(const json *b, const char *line, int number)
{
    if (json_get_str(b, "late", NULL) == NULL)
        return;
    uv_sleep(500);
    printf("%.*s%s\n", number, line, json_get_str(b, "late", ""));
    fflush(stdout);
}

static int live(const char *name)
{
    char path[2048];
    struct buf stop = BUF_INIT;

    snprintf(path, sizeof path, "%s/%s", world, name);
    for (int i = 0; i < 300 && !read_world("stop", &stop); i++) {
        FILE *f = fopen(path, "ab");

        if (f == NULL)
            return 1;
        fputs(".", f);
        fclose(f);
        uv_sleep(200);
    }
    return 0;
}

/* Detached, else libuv would end it together with this driver. */
static void start_child(char *self, const json *b)
{
    char world_text[1024], name[64], word[] = "live";
    char *args[] = { self, world_text, word, name, NULL };
    uv_process_options_t o = { .file = self, .args = args, .flags = UV_PROCESS_DETACHED };
    uv_process_t child;
    uv_loop_t loop;

    if (json_get_str(b, "child", NULL) == NULL)
        return;
    snprintf(world_text, sizeof world_text, "%s", world);
    snprintf(name, sizeof name, "%s", json_get_str(b, "child", ""));
    uv_loop_init(&loop);
    if (uv_spawn(&loop, &child, &o) != 0)
        exit(6);
}

static bool is_read(const char *action)
{
    return strcmp(action, "facts") == 0 || strcmp(action, "vms") == 0 || strcmp(action, "check_empty") == 0 ||
           strcmp(action, "gate_facts") == 0 || strcmp(action, "verify") == 0;
}

static void write_read(struct json_writer *w, const char *action)
{
    if (strcmp(action, "facts") == 0)
        write_facts(w);
    else if (strcmp(action, "vms") == 0)
        write_vms(w);
    else if (strcmp(action, "check_empty") == 0)
        write_empty(w);
}

/* What install got as its package's path is told, so that a test can look. */
static void write_effect(struct json_writer *w, const json *args, bool already)
{
    if (already)
        jw_bool(w, "already", true);
    jw_str(w, "path", json_get_str(json_get(args, "package"), "path", json_get_str(args, "to", NULL)));
}

/* One line for one: what stands before the object, the question's number, stands before the answer. */
static void answer(char *self, const char *line, size_t len)
{
    int number = (int)strcspn(line, "{");
    struct buf rules = BUF_INIT, out = BUF_INIT;
    struct json_doc *request = NULL, *behave = NULL;
    const char *action, *op, *mode;
    const json *b;
    struct json_writer w;

    if (json_parse("request", line + number, len - (size_t)number, &request, NULL) != 0)
        exit(3); /* no request, no effect */
    if (read_world("behave.json", &rules))
        json_parse("behave.json", buf_text(&rules), rules.len, &behave, NULL);
    action = json_get_str(json_root(request), "action", "");
    op = json_get_str(json_root(request), "op", "");
    mode = json_get_str(json_root(request), "mode", "");
    b = behave == NULL ? NULL : behaviour(json_root(behave), action, mode);
    start_child(self, b);
    misbehave_first(b);
    jw_init(&w, &out);
    w.ascii = true;
    jw_object(&w, NULL);
    if (json_get(b, "error") != NULL) {
        jw_value(&w, "error", json_get(b, "error"));
    } else if (strcmp(mode, "witness") == 0) {
        jw_str(&w, "witness", has_effect(op) ? "done" : "not_done");
    } else {
        bool already = !is_read(action) && has_effect(op);

        jw_object(&w, "result");
        if (is_read(action)) {
            write_read(&w, action);
        } else {
            add_effect(op, action);
            write_effect(&w, json_get(json_root(request), "args"), already);
        }
        jw_object_end(&w);
    }
    jw_object_end(&w);
    misbehave_last(b, line, number);
    buf_char(&out, '\n');
    fwrite(line, 1, (size_t)number, stdout);
    put_answer(&out);
    say_late(b, line, number);
    if (json_get_int(b, "exit", 0) != 0)
        exit((int)json_get_int(b, "exit", 0));
    json_free(request);
    json_free(behave);
    buf_clear(&rules);
    buf_clear(&out);
}

/* The next line of standard input; false at its end. */
static bool read_line(struct buf *line)
{
    char block[4096];

    buf_clear(line);
    while (fgets(block, sizeof block, stdin) != NULL) {
        buf_str(line, block);
        if (line->len > 0 && line->data[line->len - 1] == '\n')
            return true;
    }
    return line->len > 0;
}

int main(int argc, char **argv)
{
    struct buf line = BUF_INIT;

    world = argc > 1 ? argv[1] : ".";
    if (argc == 4)
        return live(argv[3]);
    add_start();
    while (read_line(&line))
        answer(argv[0], buf_text(&line), line.len);
    buf_clear(&line);
    return 0;
}
