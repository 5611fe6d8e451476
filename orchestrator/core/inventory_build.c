#include "orchestrator/core/inventory.h"

#include <string.h>

/* Up to nine digits; NULL when there are none or too many. */
static const char *number_parse(const char *at, uint32_t *ret)
{
    uint32_t value = 0;
    unsigned digits = 0;

    while (at[digits] >= '0' && at[digits] <= '9' && digits < 9)
        value = value * 10 + (uint32_t)(at[digits++] - '0');
    if (digits == 0 || (at[digits] >= '0' && at[digits] <= '9'))
        return NULL;
    *ret = value;
    return at + digits;
}

int build_parse(const char *text, struct build *ret_build, struct err *err)
{
    struct build b = { 0, 0 };
    const char *at = number_parse(text, &b.number);

    if (at != NULL && *at == '.')
        at = number_parse(at + 1, &b.ubr);
    else
        at = NULL;
    if (at == NULL || *at != '\0')
        return err_set(err, ERR_INVALID, "`%s` is not a build such as \"26100.4061\"", text);
    *ret_build = b;
    return 0;
}

static char *number_text(char *at, uint32_t value)
{
    char digits[10];
    unsigned n = 0;

    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (n > 0)
        *at++ = digits[--n];
    return at;
}

const char *build_text(struct build b, char out[32])
{
    char *at = number_text(out, b.number);

    *at++ = '.';
    at = number_text(at, b.ubr);
    *at = '\0';
    return out;
}

int build_compare(struct build a, struct build b)
{
    if (a.number != b.number)
        return a.number < b.number ? -1 : 1;
    if (a.ubr != b.ubr)
        return a.ubr < b.ubr ? -1 : 1;
    return 0;
}
