/* First contact: each node's host key is shown, and pinned only when somebody
 * says so. A changed key is refused by both fingerprints. */
#include "orchestrator/bootstrap.h"
#include "orchestrator/cli.h"
#include "orchestrator/hostkey_scan.h"
#include "orchestrator/io/node_target.h"
#include "orchestrator/io/store_load.h"
#include "orchestrator/io/store_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum enrolled {
    ENROLLED_ALREADY,
    ENROLLED_NEW,
    ENROLLED_REPLACED,
    NOT_ACCEPTED,
    NOT_REPLACED,
    NOT_REACHED,
    ENROLLEDS
};
static const char *const enrolled_names[ENROLLEDS] = {
    [ENROLLED_ALREADY] = "known", [ENROLLED_NEW] = "enrolled", [ENROLLED_REPLACED] = "replaced",
    [NOT_ACCEPTED] = "new",       [NOT_REPLACED] = "CHANGED",  [NOT_REACHED] = "failed",
};

struct enroll {
    struct cli *c;
    struct store *s;
    struct inventory *inv;
    struct scanned *items;
    uint32_t n;
    time_ms now;
    struct buf out;
    struct json_writer w;
    uint32_t counts[ENROLLEDS];
};

static int add_node(struct enroll *e, const char *id, struct err *err)
{
    uint32_t node = inventory_node(e->inv, id);

    if (node == IX_NONE)
        return err_set(err, ERR_NOT_FOUND, "no node \"%s\" in the inventory", id);
    e->items[e->n++].node = node;
    return 0;
}

static int choose_nodes(struct enroll *e, struct err *err)
{
    int rc = 0;

    e->items = calloc(e->inv->n_nodes + OPERANDS_MAX, sizeof *e->items);
    if (e->items == NULL)
        return err_set(err, ERR_NOMEM, "enroll");
    if (cli_flag(e->c, "all")) {
        for (uint32_t i = 0; i < e->inv->n_nodes; i++)
            e->items[e->n++].node = i;
        return 0;
    }
    if (e->c->args.n_operands == 0)
        return err_set(err, ERR_INVALID, "name nodes, or say --all");
    for (uint32_t i = 0; rc == 0 && i < e->c->args.n_operands; i++)
        rc = add_node(e, e->c->args.operands[i], err);
    return rc;
}

static bool asked_yes(const struct enroll *e, const char *node, const struct ssh_hostkey *key)
{
    char answer[16] = "";

    if (e->c->json || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return false;
    printf("%s shows %s %s\nIs this the key that its console shows? [yes/no] ", node, key->type,
           key->fingerprint);
    fflush(stdout);
    return fgets(answer, sizeof answer, stdin) != NULL && strcmp(answer, "yes\n") == 0;
}

static int pin(struct enroll *e, const char *node, const struct ssh_hostkey *key, const char *replaced,
               struct err *err)
{
    struct buf text = BUF_INIT;
    int rc;

    ssh_hostkey_write(&text, key);
    rc = store_put_hostkey(e->s, node, key->fingerprint, buf_text(&text), replaced,
                           (struct record_by){ e->c->person, e->now }, err);
    buf_clear(&text);
    return rc;
}

/* The pinned key, if there is one that can be read. */
static bool pinned(struct enroll *e, const char *node, struct ssh_hostkey *ret)
{
    struct arena a = ARENA_INIT;
    const char *text;
    bool found =
        store_find_hostkey(e->s, node, &a, &text, NULL) == 0 && ssh_hostkey_parse(text, ret, NULL) == 0;

    arena_clear(&a);
    return found;
}

static int enroll_one(struct enroll *e, const struct scanned *item, enum enrolled *ret,
                      struct ssh_hostkey *before, struct err *err)
{
    const char *node = e->inv->nodes[item->node].id;
    bool known = pinned(e, node, before);

    if (!item->ok) {
        *ret = NOT_REACHED;
    } else if (known && ssh_hostkey_same(before, &item->key)) {
        *ret = ENROLLED_ALREADY;
    } else if (known && !cli_flag(e->c, "replace-key")) {
        *ret = NOT_REPLACED;
    } else if (known) {
        *ret = ENROLLED_REPLACED;
        return pin(e, node, &item->key, before->fingerprint, err);
    } else if (cli_flag(e->c, "accept-new") || asked_yes(e, node, &item->key)) {
        *ret = ENROLLED_NEW;
        return pin(e, node, &item->key, NULL, err);
    } else {
        *ret = NOT_ACCEPTED;
    }
    return 0;
}

static void put_text(struct enroll *e, const struct scanned *item, enum enrolled how,
                     const struct ssh_hostkey *before)
{
    buf_printf(&e->out, "%-14s %-9s ", e->inv->nodes[item->node].id, enrolled_names[how]);
    if (how == NOT_REACHED)
        buf_printf(&e->out, "%s\n", item->why.text);
    else if (how == NOT_REPLACED)
        buf_printf(&e->out, "shows %s, pinned is %s: refused (--replace-key if the node was set up anew)\n",
                   item->key.fingerprint, before->fingerprint);
    else if (how == ENROLLED_REPLACED)
        buf_printf(&e->out, "%s %s, before %s\n", item->key.type, item->key.fingerprint, before->fingerprint);
    else
        buf_printf(&e->out, "%s %s\n", item->key.type, item->key.fingerprint);
}

static void put_json(struct enroll *e, const struct scanned *item, enum enrolled how,
                     const struct ssh_hostkey *before)
{
    jw_object(&e->w, NULL);
    jw_str(&e->w, "node", e->inv->nodes[item->node].id);
    jw_str(&e->w, "result", enrolled_names[how]);
    jw_str(&e->w, "fingerprint", item->ok ? item->key.fingerprint : NULL);
    jw_str(&e->w, "pinned", how == NOT_REPLACED || how == ENROLLED_REPLACED ? before->fingerprint : NULL);
    jw_str(&e->w, "error", item->ok ? NULL : item->why.text);
    jw_object_end(&e->w);
}

static int enroll_all(struct enroll *e, struct err *err)
{
    int rc = 0;

    if (e->c->json) {
        jw_init(&e->w, &e->out);
        jw_array(&e->w, NULL);
    }
    for (uint32_t i = 0; rc == 0 && i < e->n; i++) {
        struct ssh_hostkey before = { 0 };
        enum enrolled how = NOT_REACHED;

        rc = enroll_one(e, &e->items[i], &how, &before, err);
        if (rc != 0)
            break;
        e->counts[how]++;
        if (e->c->json)
            put_json(e, &e->items[i], how, &before);
        else
            put_text(e, &e->items[i], how, &before);
    }
    if (e->c->json && rc == 0) {
        jw_array_end(&e->w);
        buf_char(&e->out, '\n');
    }
    if (e->counts[NOT_ACCEPTED] > 0 && !e->c->json)
        buf_printf(
            &e->out,
            "%u new keys were not pinned: compare them with the nodes' consoles, then say --accept-new\n",
            (unsigned)e->counts[NOT_ACCEPTED]);
    return rc;
}

static int run_enroll(struct cli *c, int *ret_exit, struct err *err)
{
    struct enroll e = { .c = c };
    int rc;

    if (cli_flag(c, "bootstrap"))
        return bootstrap_command(c, ret_exit, err);
    rc = store_open(c->db, STORE_WRITE, &e.s, err);
    if (rc == 0)
        rc = store_load_inventory(e.s, &e.inv, err);
    if (rc == 0)
        rc = choose_nodes(&e, err);
    if (rc == 0) {
        e.now = store_fleet_now(e.s);
        rc = hostkey_scan(e.inv, e.items, e.n, options_text(&c->args, "user", node_default_user()), err);
    }
    if (rc == 0)
        rc = enroll_all(&e, err);
    if (rc == 0) {
        cli_print(&e.out);
        if (e.counts[NOT_ACCEPTED] + e.counts[NOT_REPLACED] + e.counts[NOT_REACHED] > 0)
            *ret_exit = EXIT_CONNECTION;
    }
    buf_clear(&e.out);
    free(e.items);
    inventory_free(e.inv);
    store_close(e.s);
    return rc;
}

static const struct option enroll_options[] = {
    { "all", 0, OPTION_FLAG, NULL, "every node of the inventory" },
    { "accept-new", 0, OPTION_FLAG, NULL, "pin keys of nodes that had none" },
    { "replace-key", 0, OPTION_FLAG, NULL, "pin the key of a node whose key has changed" },
    { "user", 0, OPTION_TEXT, "NAME", "the SSH user where the inventory names none" },
    { "bootstrap", 0, OPTION_FLAG, NULL, "print how a node is set up, step by step; nothing is done" },
    { "os", 0, OPTION_TEXT, "OS", "of that node: windows (default) or linux" },
    { "key", 0, OPTION_TEXT, "FILE", "the controller's public key (default: ~/.ssh/id_ed25519.pub)" },
    { "run", 0, OPTION_TEXT, "ADMIN@HOST",
      "do what --bootstrap prints, over this administrator's SSH login" },
    { "files", 0, OPTION_TEXT, "FOLDER", "for --run: holds the agent's program (and unit) and drivers/" },
    { "ssh-config", 0, OPTION_TEXT, "FILE", "for --run: as ssh -F" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct command_spec cmd_enroll = {
    NULL, "enroll",       "[NODE...]", 0, OPERANDS_MAX, "show nodes' host keys and pin them",
    NULL, enroll_options, run_enroll,
};
