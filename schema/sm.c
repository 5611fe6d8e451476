#include "schema/sm.h"

#include <string.h>

bool sm_may(const struct sm_state *table, uint32_t from, uint32_t to)
{
    return to < 32 && (table[from].may_enter >> to & 1) != 0;
}

int sm_by_name(const struct sm_state *table, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (table[i].name != NULL && strcmp(table[i].name, name) == 0)
            return (int)i;
    return -1;
}
