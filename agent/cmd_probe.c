#include "agent/agent_command.h"
#include "agent/io/probe.h"

#include <stdio.h>

/* Text from outside goes to a terminal: anything but plain characters becomes a dot. */
static void print_plain(const char *text, size_t max)
{
    for (size_t i = 0; i < max && text[i] != '\0'; i++)
        putchar((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '.' : text[i]);
}

static void print_row(const json *r)
{
    const json *ok = json_get(r, "ok");

    printf("%-6s ", json_is_null(ok) ? "look" : json_bool(ok, false) ? "ok" : "NOT OK");
    print_plain(json_get_str(r, "id", ""), 40);
    printf("\n       expected: ");
    print_plain(json_get_str(r, "expected", ""), 400);
    printf("\n       observed: ");
    print_plain(json_get_str(r, "observed", ""), 2000);
    printf("\n       used by:  ");
    print_plain(json_get_str(r, "used_by", ""), 400);
    printf("\n");
}

static int print_table(const struct buf *report, struct err *err)
{
    struct json_doc *d = NULL;
    int rc = json_parse("report", buf_text(report), report->len, &d, err);

    for (const json *r = json_first(json_get(json_root(d), "rows")); rc == 0 && r != NULL; r = json_next(r))
        print_row(r);
    json_free(d);
    return rc;
}

int agent_cmd_probe(const struct agent_options *o)
{
    struct agent_settings set = { 0 };
    struct buf report = BUF_INIT;
    struct err err = { 0 };
    uint32_t bad = 0;
    int rc = agent_settings_read(o->config, &set, &err);

    if (rc == 0)
        rc = probe_run(&set, PATCHWAVE_VERSION, &report, &bad, &err);
    if (rc == 0 && o->json)
        printf("%s\n", buf_text(&report));
    else if (rc == 0)
        rc = print_table(&report, &err);
    buf_clear(&report);
    agent_settings_clear(&set);
    if (rc != 0)
        return agent_complain(&err);
    return bad == 0 ? AGENT_EXIT_OK : AGENT_EXIT_FAILED;
}
