#include "schema/utf8.h"

#include <stdbool.h>
#include <string.h>

/* One row per length: which first bytes begin it, and the smallest character
 * that needs it (anything less is an overlong form). */
static const struct {
    uint8_t mask, lead;
    uint32_t min;
} forms[] = {
    { 0x80, 0x00, 0 },
    { 0xe0, 0xc0, 0x80 },
    { 0xf0, 0xe0, 0x800 },
    { 0xf8, 0xf0, 0x10000 },
};

static bool is_continuation(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80;
}

size_t utf8_read(const char *s, size_t len, uint32_t *ret_char)
{
    size_t n = 0;
    uint32_t c;

    if (len == 0)
        return 0;
    while (n < 4 && ((uint8_t)s[0] & forms[n].mask) != forms[n].lead)
        n++;
    if (n == 4 || len < n + 1)
        return 0;
    c = (uint8_t)s[0] & (uint8_t)~forms[n].mask;
    for (size_t i = 1; i <= n; i++) {
        if (!is_continuation(s[i]))
            return 0;
        c = c << 6 | ((uint8_t)s[i] & 0x3f);
    }
    if (c < forms[n].min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret_char = c;
    return n + 1;
}

size_t utf8_cut(const char *s, size_t max)
{
    const char *end = memchr(s, '\0', max); /* looks no further than the first one */
    size_t n = end == NULL ? max : (size_t)(end - s);

    if (s[n] == '\0')
        return n;
    while (n > 0 && is_continuation(s[n]))
        n--;
    return n;
}
