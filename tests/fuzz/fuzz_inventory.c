/* Any text is refused with a reason or is an inventory that writes back to one
 * that reads equal, and from which a fleet can be made. */
#include "orchestrator/core/fleet.h"
#include "orchestrator/core/inventory.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

static struct inventory *read_text(const char *text, size_t len)
{
    struct err e = { ERR_OK, "" };
    struct inventory *inv = NULL;
    struct json_doc *doc;

    if (json_parse("fuzz", text, len, &doc, &e) != 0) {
        fuzz_pass_over();
        return NULL;
    }
    if (inventory_read(doc, &inv, &e) != 0)
        assert(inv == NULL && e.text[0] != '\0');
    json_free(doc);
    return inv;
}

static void write_text(const struct inventory *inv, struct buf *out)
{
    struct json_writer w;

    jw_init(&w, out);
    inventory_write(&w, NULL, inv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf first = BUF_INIT, second = BUF_INIT;
    struct inventory *inv = read_text((const char *)data, size), *again;
    struct fleet f;

    if (inv == NULL)
        return 0;
    write_text(inv, &first);
    again = read_text(first.data, first.len);
    assert(again != NULL);
    write_text(again, &second);
    assert(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    assert(fleet_init(&f, inv, NULL) == 0);
    fleet_clear(&f);
    inventory_free(inv);
    inventory_free(again);
    buf_clear(&first);
    buf_clear(&second);
    return 0;
}
