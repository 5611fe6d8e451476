#include "schema/err.h"

#include "schema/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *sentence;
} codes[ERR_CODES] = {
#define X(name, lower, text) [ERR_##name] = { #lower, text },
    ERR_MAP(X)
#undef X
};

/* Text of any length into `out`, whole characters only. `s` may not overlap. */
static void copy_cut(char *out, size_t size, const char *s)
{
    size_t n = utf8_cut(s, size - 1);

    memcpy(out, s, n);
    out[n] = '\0';
}

static void format_cut(char *out, size_t size, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));
static void format_cut(char *out, size_t size, const char *fmt, va_list args)
{
    char whole[sizeof((struct err *)0)->text + 4]; /* room for the character at the cut */

    vsnprintf(whole, sizeof whole, fmt, args);
    copy_cut(out, size, whole);
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    va_list args;

    if (err == NULL)
        return (int)code;
    err->code = code;
    va_start(args, fmt);
    format_cut(err->text, sizeof err->text, fmt, args);
    va_end(args);
    return (int)code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char was[sizeof err->text];
    va_list args;
    size_t n;

    if (err == NULL)
        return ERR_INTERNAL;
    memcpy(was, err->text, sizeof was);
    va_start(args, fmt);
    format_cut(err->text, sizeof err->text - 2, fmt, args);
    va_end(args);
    n = strlen(err->text);
    memcpy(err->text + n, ": ", 3);
    copy_cut(err->text + n + 2, sizeof err->text - n - 2, was);
    return (int)err->code;
}

const char *err_name(enum err_code code)
{
    return (unsigned)code < ERR_CODES ? codes[code].name : "unknown_code";
}

const char *err_sentence(enum err_code code)
{
    return (unsigned)code < ERR_CODES ? codes[code].sentence : "error code out of range";
}
