#include "tests/lib/alloc_fault.h"

#include <stddef.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
char *__wrap_strdup(const char *text);

static unsigned countdown;
static bool hit;
static bool (*asked)(void);

bool alloc_fault_now(void)
{
    if (asked != NULL)
        return asked();
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

void alloc_fault_ask(bool (*ask)(void))
{
    asked = ask;
}

bool alloc_fault_hit(void)
{
    return hit;
}

void *__wrap_malloc(size_t bytes)
{
    return alloc_fault_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return alloc_fault_now() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *p, size_t bytes)
{
    return alloc_fault_now() ? NULL : __real_realloc(p, bytes);
}

char *__wrap_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = __wrap_malloc(bytes);

    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}
