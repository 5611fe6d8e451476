#include "tests/lib/alloc_places.h"

#include "schema/list.h"
#include "tests/lib/alloc_fault.h"
#include "tests/lib/check.h"

#include <execinfo.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES_SKIPPED = 3, FRAMES = 12, TABLE = 1 << 16 };

struct place {
    uint64_t callers; /* 0: free */
    uint32_t first, second, last;
};

static struct place *places; /* while watching */
static uint32_t count, target;
static bool resting, was_hit;

static uint64_t callers(void)
{
    void *frames[FRAMES_SKIPPED + FRAMES] = { 0 };
    int n = backtrace(frames, FRAMES_SKIPPED + FRAMES);
    uint64_t h = 1469598103934665603u;

    for (int i = FRAMES_SKIPPED; i < n; i++)
        h = (h ^ (uint64_t)(uintptr_t)frames[i]) * 1099511628211u;
    return h == 0 ? 1 : h;
}

static void note(uint64_t h)
{
    uint32_t at = (uint32_t)h % TABLE;

    while (places[at].callers != 0 && places[at].callers != h)
        at = (at + 1) % TABLE;
    places[at].callers = h;
    places[at].last = count;
    if (places[at].first == 0)
        places[at].first = count;
    else if (places[at].second == 0)
        places[at].second = count;
}

static bool ask(void)
{
    if (resting)
        return false;
    count++;
    if (places != NULL)
        note(callers());
    if (count != target)
        return false;
    was_hit = true;
    return true;
}

static void begin(uint32_t at)
{
    count = 0;
    target = at;
    was_hit = resting = false;
    alloc_fault_ask(ask);
}

static int by_number(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

    return (a > b) - (a < b);
}

struct ordinals {
    uint32_t *items;
    uint32_t n, cap;
};

static void add(struct ordinals *list, uint32_t ordinal)
{
    uint32_t *item = list_push(list);

    assert_non_null(item);
    *item = ordinal;
}

/* Which allocations are to fail: in order, each once. */
static struct ordinals watch(const struct alloc_places *p)
{
    struct ordinals list = { 0 };
    uint32_t n = 0;

    places = calloc(TABLE, sizeof *places);
    assert_non_null(places);
    begin(0);
    assert_int_equal(p->story(p->arg), 0);
    alloc_fault_ask(NULL);
    for (uint32_t i = 0; i < TABLE; i++) {
        n += places[i].callers != 0;
        if (places[i].first != 0)
            add(&list, places[i].first);
        if (places[i].second != 0)
            add(&list, places[i].second);
        if (places[i].last > places[i].second && places[i].second != 0)
            add(&list, places[i].last);
    }
    assert_in_range(n, 1, TABLE / 2);
    free(places);
    places = NULL;
    qsort(list.items, list.n, sizeof *list.items, by_number);
    return list;
}

void alloc_places_fail(struct alloc_places *p)
{
    struct ordinals list = watch(p);

    for (uint32_t i = 0; i < list.n; i++) {
        int rc;

        begin(list.items[i]);
        rc = p->story(p->arg);
        alloc_fault_ask(NULL);
        if (!was_hit)
            fail_msg("allocation %u did not come: the story differs from its first telling", list.items[i]);
        if (rc != 0 && rc != ERR_NOMEM)
            fail_msg("allocation %u fails: the answer is %s", list.items[i], err_name((enum err_code)rc));
        p->told++;
        p->survived += rc == 0;
    }
    list_clear(&list);
}

void alloc_places_rest(void)
{
    resting = true;
}

void alloc_places_go_on(void)
{
    resting = false;
}
