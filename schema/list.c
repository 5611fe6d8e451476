#include "schema/list.h"

#include <stdlib.h>
#include <string.h>

/* The list's pointer has a type that is not known here: it is read and written
 * as bytes, which every object allows. */
static void *pointer_at(const void *items)
{
    void *p;

    memcpy(&p, items, sizeof p);
    return p;
}

bool list_room(void *items, uint32_t want, uint32_t *cap, size_t size)
{
    void *p;

    if (want <= *cap)
        return true;
    if (want > SIZE_MAX / size)
        return false;
    p = realloc(pointer_at(items), want * size);
    if (p == NULL)
        return false;
    memcpy(items, &p, sizeof p);
    *cap = want;
    return true;
}

bool list_grow(void *items, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    return *cap <= UINT32_MAX / 2 && list_room(items, *cap < 8 ? 8 : *cap * 2, cap, size);
}

void *list_zeroed(void *item, size_t size)
{
    return memset(item, 0, size);
}

void list_free(void *items, uint32_t *n, uint32_t *cap)
{
    void *none = NULL;

    free(pointer_at(items));
    memcpy(items, &none, sizeof none);
    *n = 0;
    *cap = 0;
}
