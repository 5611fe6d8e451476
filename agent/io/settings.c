#include "agent/io/settings.h"

#include "agent/io/os.h"
#include "schema/ids.h"

#include <stdio.h>

#define SETTINGS_BYTES (64u << 10)

static int read_clock(struct agent_settings *s, const json *root, struct err *err)
{
    static const char *const known[] = { "factor", "anchor_ms", NULL };
    const json *clock = NULL;
    int rc = json_want_object(s->doc, root, "clock", JSON_OPTIONAL, &clock, err);

    s->clock = (struct fleet_time){ .factor = 1 };
    if (rc != 0 || clock == NULL)
        return rc;
    rc = json_want_known(s->doc, clock, known, err);
    if (rc == 0)
        rc = json_want_int(s->doc, clock, "factor", JSON_REQUIRED, 1, 100000, &s->clock.factor, err);
    if (rc == 0)
        rc = json_want_int(s->doc, clock, "anchor_ms", JSON_REQUIRED, 0, INT64_MAX / 1000000,
                           &s->clock.anchor_ms, err);
    if (rc == 0 && s->clock.factor != 1 && !s->lab)
        rc = json_fault(s->doc, clock, err, "a time factor other than 1 is for labs only (\"lab\": true)");
    return rc;
}

static int read_root(struct agent_settings *s, struct err *err)
{
    static const char *const known[] = { "node",  "state_dir", "socket", "socket_group", "driver",
                                         "slots", "clock",     "lab",    "lab_floor_ms", NULL };
    const json *root = json_root(s->doc);
    int rc;

    if (!json_is_object(root))
        return json_fault(s->doc, root, err, "must be an object");
    s->slots = 1;
    s->lab_floor_ms = 3000;
    rc = json_want_known(s->doc, root, known, err);
    if (rc == 0)
        rc = json_want_str(s->doc, root, "node", JSON_REQUIRED, &s->node, err);
    if (rc == 0 && !id_is_name(s->node))
        rc = json_fault(s->doc, root, err, "`node` is no name");
    if (rc == 0)
        rc = json_want_str(s->doc, root, "state_dir", JSON_REQUIRED, &s->state_dir, err);
    if (rc == 0)
        rc = json_want_str(s->doc, root, "socket", JSON_REQUIRED, &s->socket, err);
    if (rc == 0)
        rc = json_want_str(s->doc, root, "driver", JSON_REQUIRED, &s->driver, err);
    if (rc == 0)
        rc = json_want_str(s->doc, root, "socket_group", JSON_OPTIONAL, &s->socket_group, err);
    if (rc == 0)
        rc = json_want_int(s->doc, root, "slots", JSON_OPTIONAL, 1, 64, &s->slots, err);
    if (rc == 0)
        rc = json_want_bool(s->doc, root, "lab", JSON_OPTIONAL, &s->lab, err);
    if (rc == 0)
        rc = json_want_int(s->doc, root, "lab_floor_ms", JSON_OPTIONAL, 0, 3600000, &s->lab_floor_ms, err);
    return rc != 0 ? rc : read_clock(s, root, err);
}

int agent_settings_read(const char *path, struct agent_settings *ret, struct err *err)
{
    struct buf text = BUF_INIT;
    struct agent_settings s = { 0 };
    int rc;

    if (path == NULL)
        path = os_default_config();
    rc = os_read_file(path, SETTINGS_BYTES, &text, err);
    if (rc == 0)
        rc = json_parse(path, buf_text(&text), text.len, &s.doc, err);
    if (rc == 0)
        rc = read_root(&s, err);
    buf_clear(&text);
    if (rc != 0) {
        agent_settings_clear(&s);
        return err_wrap(err, "configuration");
    }
    *ret = s;
    return 0;
}

void agent_settings_clear(struct agent_settings *s)
{
    json_free(s->doc);
    *s = (struct agent_settings){ 0 };
}

int agent_settings_path(const struct agent_settings *s, const char *name, char *out, size_t size,
                        struct err *err)
{
    if (snprintf(out, size, "%s/%s", s->state_dir, name) >= (int)size)
        return err_set(err, ERR_INVALID, "path too long: %s/%s", s->state_dir, name);
    return 0;
}
