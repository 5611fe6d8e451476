#include "orchestrator/cli.h"
#include "orchestrator/io/file_digest.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_record.h"

#include <stdlib.h>
#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* "KB5061977" out of "windows11.0-kb5061977-x64.msu", when it is not said. */
static const char *kb_of(const char *file, char out[32])
{
    size_t n = 2;

    for (const char *p = file; *p != '\0'; p++) {
        if ((p[0] == 'k' || p[0] == 'K') && (p[1] == 'b' || p[1] == 'B') && p[2] >= '0' && p[2] <= '9') {
            memcpy(out, "KB", 2);
            for (p += 2; *p >= '0' && *p <= '9' && n < 31; p++)
                out[n++] = *p;
            out[n] = '\0';
            return out;
        }
    }
    return NULL;
}

static bool is_kb(const char *kb)
{
    return strncmp(kb, "KB", 2) == 0 && kb[2] != '\0' && strlen(kb) < 24 &&
           strspn(kb + 2, "0123456789") == strlen(kb + 2);
}

static int read_words(const struct cli *c, struct patch *p, char kb[32], struct err *err)
{
    const char *reboot = options_text(&c->args, "reboot", "always"), *target = cli_text(c, "target");

    p->kb = options_text(&c->args, "kb", kb_of(p->file, kb));
    p->tool = options_text(&c->args, "tool", "dism");
    p->reboot = strcmp(reboot, "always") == 0 ? REBOOT_ALWAYS : REBOOT_IF_REQUIRED;
    if (p->kb == NULL || !is_kb(p->kb))
        return err_set(err, ERR_INVALID, "--kb: say which one %s is, such as KB5061977", p->file);
    if (target == NULL)
        return err_set(err, ERR_INVALID, "--target: say the build that %s brings, such as 26100.4066", p->kb);
    if (strcmp(reboot, "always") != 0 && strcmp(reboot, "if_required") != 0)
        return err_set(err, ERR_INVALID, "--reboot is always or if_required, not \"%s\"", reboot);
    if (strcmp(p->tool, "dism") != 0 && strcmp(p->tool, "wusa") != 0)
        return err_set(err, ERR_INVALID, "--tool is dism or wusa, not \"%s\"", p->tool);
    return build_parse(target, &p->target, err) == 0 ? 0 : err_wrap(err, "--target");
}

static int describe(const struct cli *c, const char *path, struct patch *p, char kb[32],
                    char sha256[SHA256_TEXT], struct err *err)
{
    const char *expected = cli_text(c, "sha256");
    int rc;

    p->file = base_name(path);
    p->sha256 = sha256;
    rc = read_words(c, p, kb, err);
    if (rc == 0)
        rc = file_digest(path, sha256, &p->size_bytes, err);
    if (rc == 0 && p->size_bytes == 0)
        rc = err_set(err, ERR_INVALID, "%s is empty", path);
    if (rc == 0 && expected != NULL && strcmp(expected, sha256) != 0)
        rc = err_set(err, ERR_INVALID, "%s has SHA-256 %s, not %s as --sha256 says", path, sha256, expected);
    return rc;
}

/* One checkpoint package, its strings in `a` (O9). */
static int describe_checkpoint(const char *given, const struct patch *target, struct arena *a,
                               struct checkpoint *ret, struct err *err)
{
    char sha256[SHA256_TEXT], *real = realpath(given, NULL);
    int rc = file_digest(given, sha256, &ret->size_bytes, err);

    if (rc == 0 && ret->size_bytes == 0)
        rc = err_set(err, ERR_INVALID, "--checkpoint: %s is empty", given);
    if (rc == 0 && strcmp(base_name(given), target->file) == 0)
        rc = err_set(err, ERR_INVALID, "--checkpoint: %s is named like the target: they lie in one folder",
                     given);
    ret->file = arena_str(a, base_name(given));
    ret->path = arena_str(a, real == NULL ? given : real);
    ret->sha256 = arena_str(a, sha256);
    free(real);
    return rc == 0 && (!ret->file || !ret->path || !ret->sha256) ? err_set(err, ERR_NOMEM, "patch") : rc;
}

static int describe_checkpoints(const struct cli *c, struct patch *p, struct arena *a,
                                struct checkpoint items[CHECKPOINTS_MAX], struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < c->args.n_values; i++) {
        if (strcmp(c->args.values[i].option->name, "checkpoint") != 0)
            continue;
        if (p->n_checkpoints == CHECKPOINTS_MAX)
            return err_set(err, ERR_INVALID, "--checkpoint: at most %d", CHECKPOINTS_MAX);
        rc = describe_checkpoint(c->args.values[i].text, p, a, &items[p->n_checkpoints++], err);
    }
    p->checkpoints = items;
    if (rc == 0 && p->n_checkpoints > 0 && strcmp(p->tool, "dism") != 0)
        rc = err_set(err, ERR_INVALID, "--checkpoint needs --tool dism: wusa takes one package");
    return rc;
}

static int run_add(struct cli *c, int *ret_exit, struct err *err)
{
    const char *path = cli_operand(c, 0);
    char sha256[SHA256_TEXT], kb[32], *real = NULL;
    struct checkpoint checkpoints[CHECKPOINTS_MAX] = { 0 };
    struct arena a = ARENA_INIT;
    struct patch p = { 0 };
    struct store *s = NULL;
    struct buf out = BUF_INIT;
    int rc = describe(c, path, &p, kb, sha256, err);

    (void)ret_exit;
    if (rc == 0)
        rc = describe_checkpoints(c, &p, &a, checkpoints, err);
    if (rc == 0)
        rc = store_open(c->db, STORE_WRITE, &s, err);
    if (rc == 0) {
        real = realpath(path, NULL);
        rc = store_put_patch(s, &p, real == NULL ? path : real,
                             (struct record_by){ c->person, store_fleet_now(s) }, err);
    }
    if (rc == 0) {
        if (c->json)
            buf_printf(&out, "{\"kb\":\"%s\",\"sha256\":\"%s\",\"size_bytes\":%llu}\n", p.kb, sha256,
                       (unsigned long long)p.size_bytes);
        else
            buf_printf(&out, "added %s: %llu bytes, SHA-256 %s\n", p.kb, (unsigned long long)p.size_bytes,
                       sha256);
        for (uint32_t i = 0; !c->json && i < p.n_checkpoints; i++)
            buf_printf(&out, "with the checkpoint package %s: %llu bytes, SHA-256 %s\n", checkpoints[i].file,
                       (unsigned long long)checkpoints[i].size_bytes, checkpoints[i].sha256);
        cli_print(&out);
    }
    free(real);
    arena_clear(&a);
    store_close(s);
    return rc;
}

static int run_list(struct cli *c, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    return cli_list(c,
                    "SELECT kb, target, reboot, tool, size_bytes, sha256, path, person, at AS added_at "
                    "FROM patches ORDER BY kb",
                    "no patch yet: `patchwave patch add FILE --kb KB --target BUILD`", err);
}

static const struct option add_options[] = {
    { "kb", 0, OPTION_TEXT, "KB", "its number (else read from the file's name)" },
    { "target", 0, OPTION_TEXT, "BUILD", "the build it brings, such as 26100.4066" },
    { "reboot", 0, OPTION_TEXT, "WHEN", "always (default; cumulative updates) or if_required" },
    { "tool", 0, OPTION_TEXT, "TOOL", "dism (default) or wusa (O9)" },
    { "sha256", 0, OPTION_TEXT, "HEX", "refuse the file if its digest is another" },
    { "checkpoint", 0, OPTION_TEXT, "FILE", "a checkpoint package that it needs beside it; may be repeated" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_patch_add = {
    "patch", "add", "FILE", 1, 1, "record a package (an MSU file) by its digest", NULL, add_options, run_add,
};
const struct command_spec cmd_patch_list = { "patch", "list", "",      0, 0, "list recorded packages",
                                             NULL,    NULL,   run_list };
