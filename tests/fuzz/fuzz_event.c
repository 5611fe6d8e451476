/* A log of events, one a line. Each is refused with a reason, the pictures kept staying as they were, or it is an
 * event that is written and read back the same: whole, and as what changed since the picture before. */
#include "orchestrator/core/event.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char inventory_text[] =
    "{\"version\":1,\"name\":\"f\",\"clusters\":[{\"id\":\"c1\",\"storage\":\"s2d\",\"witness\":\"disk\"}],"
    "\"nodes\":[{\"id\":\"HV1\",\"cluster\":\"c1\",\"memory_mib\":100,\"host_reserve_mib\":0,\"build\":"
    "\"26100.1\"},"
    "{\"id\":\"HV2\",\"cluster\":\"c1\",\"memory_mib\":100,\"host_reserve_mib\":0,\"build\":\"26100.1\"}],"
    "\"vms\":[]}";

static struct inventory *inv;

static void make_inventory(void)
{
    struct json_doc *doc = NULL;
    struct err e = { ERR_OK, "" };

    if (inv != NULL)
        return;
    if (json_parse("inventory", inventory_text, sizeof inventory_text - 1, &doc, &e) != 0 ||
        inventory_read(doc, &inv, &e) != 0)
        abort();
    json_free(doc);
}

/* What three keepers hold who saw the same pictures: of the input, of a writer, of that writer's reader. */
struct keepers {
    struct event_pictures input, writer, reader;
};

static void same_way_back(const struct event *ev, struct event_pictures *writer,
                          struct event_pictures *reader)
{
    struct buf once = BUF_INIT, whole = BUF_INIT, again = BUF_INIT;
    struct arena a = ARENA_INIT;
    struct event back;

    event_write(&whole, ev, inv, NULL);
    event_write(&once, ev, inv, writer);
    assert(!once.failed && !whole.failed);
    assert(event_read(once.data, once.len, inv, reader, &a, &back, NULL) == 0);
    event_write(&again, &back, inv, NULL);
    assert(strcmp(buf_text(&whole), buf_text(&again)) == 0);
    buf_clear(&once);
    buf_clear(&whole);
    buf_clear(&again);
    arena_clear(&a);
}

/* No search finds a digest: a line that names a base means the one that is kept. */
static void name_base(char *line, const struct event_pictures *p)
{
    const struct kept_picture *k = event_picture(p, 0);
    char *base = strstr(line, "\"base\":\"");

    if (k != NULL && base != NULL && strlen(base) >= 8 + PICTURE_ID)
        memcpy(base + 8, k->id, PICTURE_ID - 1);
}

static void try_line(char *line, struct keepers *k)
{
    struct err e = { ERR_OK, "" };
    struct arena a = ARENA_INIT;
    struct event ev = { .at = 77 };

    name_base(line, &k->input);
    if (event_read(line, strlen(line), inv, &k->input, &a, &ev, &e) != 0) {
        assert(ev.at == 77 && e.text[0] != '\0');
    } else {
        same_way_back(&ev, NULL, NULL);
        same_way_back(&ev, &k->writer, &k->reader);
    }
    arena_clear(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct keepers k = { 0 };
    char *text = malloc(len + 1), *next = NULL;

    assert(text != NULL);
    make_inventory();
    memcpy(text, data, len);
    text[len] = '\0';
    for (char *line = text; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        try_line(line, &k);
    }
    event_pictures_clear(&k.input);
    event_pictures_clear(&k.writer);
    event_pictures_clear(&k.reader);
    free(text);
    return 0;
}
