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

bool list_grow(void *items, uint32_t n, uint32_t *cap, size_t size)
{
    uint32_t more = *cap < 8 ? 8 : *cap * 2;
    void *p;

    if (n < *cap)
        return true;
    if (*cap > UINT32_MAX / 2 || more > SIZE_MAX / size)
        return false;
    p = realloc(pointer_at(items), more * size);
    if (p == NULL)
        return false;
    memcpy(items, &p, sizeof p);
    *cap = more;
    return true;
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
