/* Which machine this is and which boot: asked of the driver until it answers.
 * Nothing is admitted before. */
#include "agent/core/agent_state.h"

#include <string.h>

void agent_identity_ask(struct agent *a)
{
    a->identity_at = TIME_NEVER;
    if (agent_read_start(a, AGENT_RUN_IDENTITY, "facts", "{}", 0, 0) == NULL)
        a->identity_at = a->mono + AGENT_IDENTITY_RETRY_MS;
}

static void append_boot(struct agent *a)
{
    struct buf body = BUF_INIT;
    struct json_writer w;

    jw_init(&w, &body);
    jw_object(&w, NULL);
    jw_str(&w, "machine_id", a->machine_id);
    jw_object_end(&w);
    agent_append(a, AGENT_REC_BOOT, "", &body);
}

/* A reboot op is decided by its boot id, whoever caused the boot (C.4). */
static void decide_reboots(struct agent *a)
{
    for (uint32_t i = 0; i < a->fold.n_ops; i++) {
        struct agent_op *op = a->fold.ops[i];
        bool in_doubt = op->state == AGENT_OP_RUNNING || op->state == AGENT_OP_UNKNOWN;

        if (!(driver_action_flags(op->action) & DRIVER_BOOTS) || !in_doubt ||
            strcmp(op->start_boot, a->boot_id) == 0)
            continue;
        agent_op_end(a, op, &(struct agent_ending){ .outcome = AGENT_OUTCOME_OK });
    }
}

int agent_identity_learn(struct agent *a, const json *facts, struct err *err)
{
    const char *machine = json_get_str(facts, "machine_id", ""), *boot = json_get_str(facts, "boot_id", "");

    if (machine[0] == '\0' || boot[0] == '\0' || strlen(machine) >= AGENT_NAME_MAX ||
        strlen(boot) >= AGENT_NAME_MAX)
        return err_set(err, ERR_PROTOCOL, "the driver's facts lack machine_id or boot_id");
    memcpy(a->machine_id, machine, strlen(machine) + 1);
    memcpy(a->boot_id, boot, strlen(boot) + 1);
    a->identified = true;
    a->foreign = a->fold.machine_id[0] != '\0' && strcmp(a->fold.machine_id, machine) != 0;
    if (a->foreign)
        return 0;
    if (strcmp(a->fold.boot_id, boot) != 0)
        append_boot(a);
    decide_reboots(a); /* the boot may be in the journal already: killed before what it decides was written */
    return 0;
}

void agent_on_identity(struct agent *a, struct agent_run *run, const struct driver_answer *answer)
{
    struct err err = { 0 };
    int rc;

    (void)run;
    if (answer->kind == DRIVER_RESULT)
        rc = agent_identity_learn(a, answer->result, &err);
    else
        rc = err_set(&err, ERR_STATE, "the driver has not told this node's identity yet: %s",
                     answer->kind == DRIVER_ERROR ? json_get_str(answer->error, "message", "") : answer->why);
    if (rc != 0)
        a->identity_at = a->mono + AGENT_IDENTITY_RETRY_MS;
    agent_hellos_settle(a, rc != 0 ? &err : NULL);
}
