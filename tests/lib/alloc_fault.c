#include "tests/lib/alloc_fault.h"

#include <stddef.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);

static unsigned countdown;
static bool hit;

static bool fails_now(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    hit = true;
    return true;
}

void alloc_fault_at(unsigned n)
{
    countdown = n;
    hit = false;
}

bool alloc_fault_hit(void)
{
    return hit;
}

void *__wrap_malloc(size_t bytes)
{
    return fails_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return fails_now() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *p, size_t bytes)
{
    return fails_now() ? NULL : __real_realloc(p, bytes);
}
