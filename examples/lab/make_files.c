#include "examples/lab/make_files.h"

#include "examples/lab/inventory_lab.h"
#include "examples/lab/lab_dir.h"

#include "schema/buf.h"
#include "schema/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- keys --- */

static int keygen(const char *path, const char *comment, struct err *err)
{
    char *const argv[] = { (char[]){ "ssh-keygen" },
                           (char[]){ "-q" },
                           (char[]){ "-t" },
                           (char[]){ "ed25519" },
                           (char[]){ "-N" },
                           (char[]){ "" },
                           (char[]){ "-C" },
                           strdup(comment),
                           (char[]){ "-f" },
                           strdup(path),
                           NULL };
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        execvp("ssh-keygen", argv);
        _exit(127);
    }
    free(argv[7]);
    free(argv[9]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return err_set(err, ERR_IO, "ssh-keygen %s failed (is openssh-client installed?)", path);
    return 0;
}

/* One forced command per node, so each node has an authorized_keys. */
static int write_authorized(const char *dir, const char *node, const char *agent, const char *public_key,
                            struct err *err)
{
    char path[LAB_PATH], config[LAB_PATH];
    struct buf b = BUF_INIT;
    int rc;

    buf_printf(&b, "restrict,command=\"%s ssh --config %s\" %s", agent,
               lab_node_path(dir, node, "agent.json", config), public_key);
    rc = lab_file_write(lab_node_path(dir, node, "authorized_keys", path), buf_text(&b), b.len, 0600, err);
    buf_clear(&b);
    return rc;
}

/* --- a node's folder --- */

static int write_sshd_config(const struct world_node *n, const char *dir, struct err *err)
{
    char path[LAB_PATH], key[LAB_PATH], keys[LAB_PATH];
    struct buf b = BUF_INIT;
    int rc;

    /* SHLVL: bash, started by sshd, would else read the user's ~/.bashrc for each session. */
    buf_printf(
        &b,
        "ListenAddress %s:%lld\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin forced-commands-only\n"
        "PubkeyAuthentication yes\nDisableForwarding yes\nPermitTTY no\nPrintMotd no\nPrintLastLog "
        "no\nUseDNS no\n"
        "MaxStartups 100\nMaxSessions 64\nLoginGraceTime 20\nLogLevel ERROR\nSetEnv SHLVL=9\n",
        n->address, (long long)n->port, lab_node_path(dir, n->id, "host_ed25519", key),
        lab_node_path(dir, n->id, "authorized_keys", keys));
    rc = lab_file_write(lab_node_path(dir, n->id, "sshd_config", path), buf_text(&b), b.len, 0644, err);
    buf_clear(&b);
    return rc;
}

static int write_agent_config(const struct world *w, const struct world_node *n, const char *dir,
                              struct err *err)
{
    char path[LAB_PATH];
    struct buf b = BUF_INIT;
    struct json_writer jw;
    int rc;

    jw_init(&jw, &b);
    jw.pretty = true;
    jw_object(&jw, NULL);
    jw_str(&jw, "node", n->id);
    jw_str(&jw, "state_dir", lab_node_path(dir, n->id, "state", path));
    jw_str(&jw, "socket", lab_node_path(dir, n->id, "agent.sock", path));
    jw_str(&jw, "driver", lab_path(dir, "driver", path));
    jw_int(&jw, "slots", w->clusters.items[n->cluster].parallel);
    jw_bool(&jw, "lab", true);
    jw_object(&jw, "clock");
    jw_int(&jw, "factor", w->meta.factor);
    jw_int(&jw, "anchor_ms", w->meta.anchor_ms);
    jw_object_end(&jw);
    jw_object_end(&jw);
    buf_char(&b, '\n');
    rc = lab_file_write(lab_node_path(dir, n->id, "agent.json", path), buf_text(&b), b.len, 0644, err);
    buf_clear(&b);
    return rc;
}

/* "[address]:port key" for known_hosts; controllers pin by `enroll`. */
static int add_known(const struct world_node *n, const char *dir, struct buf *known, struct err *err)
{
    char path[LAB_PATH], *text;
    int rc = lab_file_read(lab_node_path(dir, n->id, "host_ed25519.pub", path), &text, NULL, err);

    if (rc != 0)
        return rc;
    buf_printf(known, "[%s]:%lld %s", n->address, (long long)n->port, text);
    free(text);
    return 0;
}

static int make_node(const struct world *w, const struct world_node *n, const char *dir, const char *agent,
                     const char *public_key, struct buf *known, struct err *err)
{
    char path[LAB_PATH];
    int rc = lab_mkdir(lab_node_path(dir, n->id, "state", path), err);

    if (rc == 0)
        rc = keygen(lab_node_path(dir, n->id, "host_ed25519", path), n->id, err);
    if (rc == 0)
        rc = write_sshd_config(n, dir, err);
    if (rc == 0)
        rc = write_agent_config(w, n, dir, err);
    if (rc == 0)
        rc = write_authorized(dir, n->id, agent, public_key, err);
    if (rc == 0)
        rc = add_known(n, dir, known, err);
    return rc;
}

/* --- the driver's folder --- */

static int make_driver(const char *dir, struct err *err)
{
    char path[LAB_PATH], own[LAB_PATH], program[LAB_PATH + 16], source[LAB_PATH + 20], *text = NULL;
    size_t len = 0;
    int rc = lab_own_folder(own, err);

    if (rc == 0)
        rc = lab_mkdir(lab_path(dir, "driver", path), err);
    snprintf(program, sizeof program, "%s/hvlab-driver", own);
    if (rc == 0 && symlink(program, lab_path(dir, "driver/hvlab-driver", path)) != 0 && errno != EEXIST)
        rc = err_set(err, ERR_IO, "link %s: %s", path, strerror(errno));
    /* beside this program when built, under a name of its own when installed */
    snprintf(source, sizeof source, "%s/driver.json", own);
    if (access(source, R_OK) != 0)
        snprintf(source, sizeof source, "%s/hvlab-driver.json", own);
    if (rc == 0)
        rc = lab_file_read(source, &text, &len, err);
    if (rc == 0)
        rc = lab_file_write(lab_path(dir, "driver/driver.json", path), text, len, 0644, err);
    free(text);
    if (rc != 0)
        return rc;
    char conf[LAB_PATH + 2];
    int n = snprintf(conf, sizeof conf, "%s/driver.sock\n", dir);
    return lab_file_write(lab_path(dir, "driver/hvlab.conf", path), conf, (size_t)n, 0644, err);
}

/* Who cannot move, and what their owners consented to: "GUID METHOD" lines.
 * A device or an isolated VM cannot be saved. */
static int write_consents(const struct world *w, const char *dir, struct err *err)
{
    char path[LAB_PATH];
    struct buf b = BUF_INIT;
    int rc;

    for (uint32_t i = 0; i < w->vms.n; i++) {
        const struct world_vm *v = &w->vms.items[i];
        if (world_vm_is_stuck(v))
            buf_printf(&b, "%s %s\n", v->id, v->local_disk && i % 2 == 0 ? "save" : "shutdown");
    }
    rc = lab_file_write(lab_path(dir, "consents", path), buf_text(&b), b.len, 0644, err);
    buf_clear(&b);
    return rc;
}

int lab_files_make(const struct world *w, const char *dir, const char *agent, struct err *err)
{
    char path[LAB_PATH], *public_key = NULL;
    struct buf known = BUF_INIT, inventory = BUF_INIT;
    int rc = lab_mkdir(lab_path(dir, "keys", path), err);

    if (rc == 0)
        rc = keygen(lab_path(dir, "keys/id_ed25519", path), "patchwave-lab", err);
    if (rc == 0)
        rc = lab_file_read(lab_path(dir, "keys/id_ed25519.pub", path), &public_key, NULL, err);
    for (uint32_t i = 0; rc == 0 && i < w->nodes.n; i++)
        rc = make_node(w, &w->nodes.items[i], dir, agent, public_key, &known, err);
    if (rc == 0)
        rc = lab_file_write(lab_path(dir, "keys/known_hosts", path), buf_text(&known), known.len, 0644, err);
    if (rc == 0)
        rc = make_driver(dir, err);
    if (rc == 0)
        rc = write_consents(w, dir, err);
    if (rc == 0) {
        inventory_write_lab(w, dir, &inventory);
        rc = lab_file_write(lab_path(dir, "inventory.json", path), buf_text(&inventory), inventory.len, 0644,
                            err);
    }
    free(public_key);
    buf_clear(&known);
    buf_clear(&inventory);
    return rc;
}
