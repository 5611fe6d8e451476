/* enroll --bootstrap: how a node is set up, printed, or done over an administrator's login. */
#include "orchestrator/admin_login.h"
#include "orchestrator/bootstrap.h"
#include "orchestrator/cli.h"
#include "schema/ids.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_KEY "(public key of the controller: --key FILE)"
/* The last line of a set-up that went to its end. An exit code alone proves nothing: a session that was cut may end with 0. */
#define COMPLETE "patchwave-setup: complete"

static const struct os_row {
    const char *name, *file, *command;
} os_rows[] = {
    { "linux", "setup.sh",
      "cd " ADMIN_FOLDER " && if [ \"$(id -u)\" = 0 ]; then sh setup.sh; else sudo -n sh setup.sh; fi" },
    { "windows", "setup.ps1",
      "powershell.exe -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -OutputFormat Text "
      "-File " ADMIN_FOLDER "\\setup.ps1" },
};

static const struct os_row *os_find(const char *os)
{
    for (size_t i = 0; i < sizeof os_rows / sizeof os_rows[0]; i++)
        if (strcmp(os_rows[i].name, os) == 0)
            return &os_rows[i];
    return NULL;
}

/* The public key that goes onto the node: a file that was named, or the user's own. */
static int read_key(const struct cli *c, struct buf *key, struct err *err)
{
    const char *file = cli_text(c, "key"), *home = getenv("HOME");
    struct buf path = BUF_INIT;
    int rc = 0;

    if (file != NULL) {
        rc = cli_read_file(file, key, err);
    } else {
        buf_printf(&path, "%s/.ssh/id_ed25519.pub", home == NULL ? "" : home);
        if (cli_read_file(buf_text(&path), key, NULL) != 0)
            buf_str(key, NO_KEY);
    }
    buf_clear(&path);
    if (rc == 0 && strstr(buf_text(key), "PRIVATE") != NULL)
        return err_set(err, ERR_INVALID, "%s is a private key: it stays here", file);
    while (key->len > 0 && (key->data[key->len - 1] == '\n' || key->data[key->len - 1] == '\r'))
        key->data[--key->len] = '\0';
    return rc;
}

/* These go into scripts that administrators run: nothing that a shell would take for more than a word. */
static int check_values(const struct bootstrap_values *v, struct err *err)
{
    const char *bad = v->key;

    if (!id_is_name(v->node))
        return err_set(err, ERR_INVALID, "\"%s\" is no name of a node", v->node);
    if (!isalpha((unsigned char)v->user[0]) || strlen(v->user) > 20 ||
        v->user[strspn(v->user, "abcdefghijklmnopqrstuvwxyz0123456789_-")] != '\0')
        return err_set(err, ERR_INVALID, "--user: \"%s\" is not 1 to 20 lower-case letters, digits, - and _",
                       v->user);
    if (strcmp(v->key, NO_KEY) == 0)
        return 0;
    while (*bad != '\0' && (isalnum((unsigned char)*bad) || strchr(" +/=@._:-", *bad) != NULL))
        bad++;
    if (*bad != '\0' || strchr(v->key, ' ') == NULL)
        return err_set(err, ERR_INVALID,
                       "--key: a public key is one line of type, base64 and a plain comment");
    return 0;
}

static void print_text(const struct cli *c, const struct buf *text)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    if (c->json) {
        jw_init(&w, &out);
        jw_object(&w, NULL);
        jw_str(&w, "text", buf_text(text));
        jw_object_end(&w);
        buf_char(&out, '\n');
    } else {
        buf_str(&out, buf_text(text));
    }
    cli_print(&out);
}

static bool is_complete(const struct buf *output)
{
    const char *at = strstr(buf_text(output), COMPLETE);

    return at != NULL && (at == output->data || at[-1] == '\n');
}

static void say_run(const struct cli *c, const char *node, const struct buf *output, bool complete)
{
    struct buf out = BUF_INIT;
    struct json_writer w;

    if (c->json) {
        jw_init(&w, &out);
        jw_object(&w, NULL);
        jw_str(&w, "node", node);
        jw_bool(&w, "complete", complete);
        jw_str(&w, "output", buf_text(output));
        jw_object_end(&w);
        buf_char(&out, '\n');
    } else if (complete) {
        buf_printf(&out, "%s is set up; next: patchwave enroll %s\n", node, node);
    } else {
        buf_printf(&out, "%s is NOT set up: see above; the set-up may be repeated\n", node);
    }
    cli_print(&out);
}

static int check_run(const struct cli *c, const struct bootstrap_values *v, struct err *err)
{
    if (c->args.n_operands != 1)
        return err_set(err, ERR_INVALID, "--run sets one node up: name it");
    if (cli_text(c, "files") == NULL)
        return err_set(err, ERR_INVALID,
                       "--files: say which folder holds the agent's program and drivers/ for %s", v->node);
    if (strcmp(v->key, NO_KEY) == 0)
        return err_set(err, ERR_INVALID, "--key: say which public key the controller uses");
    return 0;
}

/* What is sent is what is printed, to the byte. */
static int run_there(const struct cli *c, const struct os_row *os, const struct bootstrap_values *v,
                     const struct buf *text, int *ret_exit, struct err *err)
{
    struct admin_login login = { cli_text(c, "run"), cli_text(c, "ssh-config") };
    struct buf output = BUF_INIT;
    int code = 0, rc = check_run(c, v, err);

    if (rc == 0)
        rc = admin_put(&login, cli_text(c, "files"), os->file, text, err);
    if (rc == 0) {
        rc = admin_run(&login, os->command, &output, &code, err);
        if (rc == ERR_CONNECT && is_complete(&output)) /* its last step restarts sshd */
            rc = 0;
    }
    if (rc == 0) {
        say_run(c, v->node, &output, is_complete(&output));
        *ret_exit = is_complete(&output) ? EXIT_DONE : EXIT_CHECK;
    }
    buf_clear(&output);
    return rc;
}

int bootstrap_command(const struct cli *c, int *ret_exit, struct err *err)
{
    struct bootstrap_values v = { .node = c->args.n_operands > 0 ? cli_operand(c, 0) : "NODE",
                                  .user = options_text(&c->args, "user", "patchwave") };
    const char *os = options_text(&c->args, "os", "windows");
    const struct os_row *row = os_find(os);
    struct buf key = BUF_INIT, text = BUF_INIT;
    int rc = row != NULL ? read_key(c, &key, err)
                         : err_set(err, ERR_INVALID, "--os is windows or linux, not \"%s\"", os);

    v.key = buf_text(&key);
    if (rc == 0)
        rc = check_values(&v, err);
    if (rc == 0)
        rc = bootstrap_write(&text, os, &v, err);
    if (rc == 0 && cli_text(c, "run") != NULL)
        rc = run_there(c, row, &v, &text, ret_exit, err);
    else if (rc == 0)
        print_text(c, &text);
    buf_clear(&key);
    buf_clear(&text);
    return rc;
}
