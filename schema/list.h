/* Typed growing arrays: `struct thing_list LIST_OF(struct thing);` gives
 * {items, n, cap}. list_push returns a pointer to the new zeroed item, or
 * NULL when out of memory (the list is unchanged). */
#ifndef PATCHWAVE_LIST_H
#define PATCHWAVE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define LIST_OF(type) { type *items; uint32_t n, cap; }
/* clang-format on */

/* Make room for one more of `size` bytes; false when out of memory. `items` is
 * the address of the list's pointer, whatever its type. */
bool list_grow(void *items, uint32_t n, uint32_t *cap, size_t size);
bool list_room(void *items, uint32_t want, uint32_t *cap, size_t size);
void *list_zeroed(void *item, size_t size);

#define list_push(l)                                               \
    (list_grow(&(l)->items, (l)->n, &(l)->cap, sizeof *(l)->items) \
         ? list_zeroed(&(l)->items[(l)->n++], sizeof *(l)->items)  \
         : NULL)
/* Room for `want` items in all; false when out of memory. */
#define list_reserve(l, want) list_room(&(l)->items, (want), &(l)->cap, sizeof *(l)->items)
#define list_clear(l) list_free(&(l)->items, &(l)->n, &(l)->cap)
void list_free(void *items, uint32_t *n, uint32_t *cap);

#endif
