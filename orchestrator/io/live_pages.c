/* Putting the pages of one observation together (docs/wire.md, paging). */
#include "orchestrator/io/live_own.h"

static const json *page_data(const struct json_doc *page)
{
    return json_get(json_root(page), "data");
}

static void join_array(struct json_writer *w, const char *key, const struct json_doc *const *pages,
                       uint32_t n)
{
    jw_array(w, key);
    for (uint32_t i = 0; i < n; i++)
        for (const json *v = json_first(json_get(page_data(pages[i]), key)); v != NULL; v = json_next(v))
            jw_value(w, NULL, v);
    jw_array_end(w);
}

int live_pages_join(const struct json_doc *const *pages, uint32_t n, struct json_doc **ret_doc,
                    struct err *err)
{
    struct buf text = BUF_INIT;
    struct json_writer w;
    int rc;

    jw_init(&w, &text);
    jw_object(&w, NULL);
    for (const json *m = json_first(page_data(pages[0])); m != NULL; m = json_next(m))
        if (json_is_array(m))
            join_array(&w, json_key(m), pages, n);
        else
            jw_value(&w, json_key(m), m);
    jw_object_end(&w);
    rc = text.failed ? err_set(err, ERR_NOMEM, "pages")
                     : json_parse("observation", buf_text(&text), text.len, ret_doc, err);
    buf_clear(&text);
    return rc;
}
