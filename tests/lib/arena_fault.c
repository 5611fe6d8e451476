/* For programs linked with --wrap of the arena's functions: each thing that an
 * arena hands out to other files is asked for like an allocation (alloc_fault.h);
 * its blocks alone are too few to fail everywhere. */
#include "schema/arena.h"
#include "tests/lib/alloc_fault.h"

#include <stdarg.h>
#include <stdio.h>

void *__real_arena_alloc(struct arena *a, size_t bytes);
void *__real_arena_array(struct arena *a, size_t n, size_t bytes);
char *__real_arena_str(struct arena *a, const char *s);
char *__real_arena_strn(struct arena *a, const char *s, size_t n);
void *__wrap_arena_alloc(struct arena *a, size_t bytes);
void *__wrap_arena_array(struct arena *a, size_t n, size_t bytes);
char *__wrap_arena_str(struct arena *a, const char *s);
char *__wrap_arena_strn(struct arena *a, const char *s, size_t n);
char *__wrap_arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void *__wrap_arena_alloc(struct arena *a, size_t bytes)
{
    return alloc_fault_now() ? NULL : __real_arena_alloc(a, bytes);
}

void *__wrap_arena_array(struct arena *a, size_t n, size_t bytes)
{
    return alloc_fault_now() ? NULL : __real_arena_array(a, n, bytes);
}

char *__wrap_arena_str(struct arena *a, const char *s)
{
    return alloc_fault_now() ? NULL : __real_arena_str(a, s);
}

char *__wrap_arena_strn(struct arena *a, const char *s, size_t n)
{
    return alloc_fault_now() ? NULL : __real_arena_strn(a, s, n);
}

char *__wrap_arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    char *p;
    int n;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    p = n < 0 ? NULL : __wrap_arena_alloc(a, (size_t)n + 1);
    if (p == NULL)
        return NULL;
    va_start(args, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, args);
    va_end(args);
    return p;
}
