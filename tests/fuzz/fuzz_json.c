/* Any text: refused with a place inside it, or accepted, and then writing and
 * reading again gives the same bytes, in both alphabets. */
#include "schema/json.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

/* Parse what was written and write it again: nothing may change. */
static void check_again(const struct buf *written, bool ascii)
{
    struct json_doc *doc = NULL;
    struct buf again = BUF_INIT;
    struct err e = { ERR_OK, "" };

    assert(json_parse("again", written->data, written->len, &doc, &e) == 0);
    json_write(&again, json_root(doc), ascii);
    assert(again.len == written->len && memcmp(again.data, written->data, again.len) == 0);
    buf_clear(&again);
    json_free(doc);
}

/* A fault at any value has a text that begins with the document's name. */
static void fault_everywhere(const struct json_doc *doc, const json *v)
{
    struct err e;

    assert(json_fault(doc, v, &e, "x") == ERR_INVALID && strncmp(e.text, "f:", 2) == 0);
    for (const json *item = json_first(v); item != NULL; item = json_next(item))
        fault_everywhere(doc, item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_doc *doc = NULL;
    struct err e = { ERR_OK, "" };

    if (json_parse("f", (const char *)data, size, &doc, &e) != 0) {
        assert(e.code == ERR_INVALID && doc == NULL && strncmp(e.text, "f:", 2) == 0);
        return 0;
    }
    for (int ascii = 0; ascii <= 1; ascii++) {
        struct buf out = BUF_INIT;

        json_write(&out, json_root(doc), ascii == 1);
        for (size_t i = 0; ascii == 1 && i < out.len; i++)
            assert(out.data[i] >= 0x20 && out.data[i] < 0x7f);
        check_again(&out, ascii == 1);
        buf_clear(&out);
    }
    if (size < 2000)
        fault_everywhere(doc, json_root(doc));
    json_free(doc);
    return 0;
}
