/* Memory that lives and dies together: a finished value (inventory, plan,
 * message) owns one arena and is freed by arena_clear. */
#ifndef PATCHWAVE_ARENA_H
#define PATCHWAVE_ARENA_H

#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *head;
    size_t bytes; /* handed out so far */
};

/* clang-format off */
#define ARENA_INIT { 0 }
/* clang-format on */

/* Zeroed memory, aligned for any type; NULL when out of memory. A size of 0
 * gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t bytes);
/* Zeroed memory for n items; NULL when out of memory or n*bytes overflows. */
void *arena_array(struct arena *a, size_t n, size_t bytes);
/* Copies; NULL when out of memory. */
char *arena_str(struct arena *a, const char *s);
char *arena_strn(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ends everything handed out; the arena can be used again. */
void arena_clear(struct arena *a);
/* The same, but one block is kept: for an arena that is filled again and again. */
void arena_reset(struct arena *a);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_array((a), (n), sizeof(type)))

#endif
