#include "orchestrator/verb_answer.h"

void verb_answer_say(const struct cli *c, const char *verb, const struct buf *answer)
{
    struct buf out = BUF_INIT;
    struct json_doc *doc = NULL;
    const json *a;

    if (c->json || json_parse("answer", buf_text(answer), answer->len, &doc, NULL) != 0) {
        buf_printf(&out, "%s\n", buf_text(answer));
    } else {
        a = json_root(doc);
        buf_printf(&out, "%s: recorded as event %lld; the run is %s\n", verb,
                   (long long)json_get_int(a, "seq", 0), json_get_str(a, "state", "?"));
        if (!json_get_bool(a, "running", true) && !json_get_bool(a, "ended", false))
            buf_str(&out, "no controller is running: `patchwave resume` carries it out\n");
    }
    json_free(doc);
    cli_print(&out);
}
