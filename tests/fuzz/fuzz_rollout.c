/* Any text is refused with a reason or is a rollout that writes back to one
 * that reads equal, and whose waves add up. */
#include "orchestrator/core/rollout.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

static struct rollout *read_text(const char *text, size_t len)
{
    struct err e = { ERR_OK, "" };
    struct rollout *r = NULL;
    struct json_doc *doc;

    if (json_parse("fuzz", text, len, &doc, &e) != 0) {
        fuzz_pass_over();
        return NULL;
    }
    if (rollout_read(doc, &r, &e) != 0)
        assert(r == NULL && e.text[0] != '\0');
    json_free(doc);
    return r;
}

static void write_text(const struct rollout *r, struct buf *out)
{
    struct json_writer w;

    jw_init(&w, out);
    rollout_write(&w, NULL, r);
}

static void check_cut(const struct rollout *r, uint32_t n)
{
    struct arena a = ARENA_INIT;
    uint32_t *sizes, waves, sum = 0;

    assert(rollout_cut(r, n, &a, &sizes, &waves, NULL) == 0);
    for (uint32_t i = 0; i < waves; i++) {
        assert(sizes[i] >= 1);
        sum += sizes[i];
    }
    assert(sum == n);
    arena_clear(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf first = BUF_INIT, second = BUF_INIT;
    struct rollout *r = read_text((const char *)data, size), *again;

    if (r == NULL)
        return 0;
    write_text(r, &first);
    again = read_text(first.data, first.len);
    assert(again != NULL);
    write_text(again, &second);
    assert(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    check_cut(r, 0);
    check_cut(r, 72);
    check_cut(r, (uint32_t)size);
    rollout_free(r);
    rollout_free(again);
    buf_clear(&first);
    buf_clear(&second);
    return 0;
}
