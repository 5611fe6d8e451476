#include "schema/ids.h"

#include <stdio.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alnum(char c)
{
    return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z');
}

bool id_is_name(const char *text)
{
    size_t n = 0;

    if (!is_alnum(text[0]))
        return false;
    while (n < 64 && (is_alnum(text[n]) || (text[n] != '\0' && strchr("._-", text[n]) != NULL)))
        n++;
    return n <= 63 && text[n] == '\0';
}

bool id_is_guid(const char *text)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    for (size_t i = 0; i < sizeof form - 1; i++) {
        bool hex = is_digit(text[i]) || (text[i] >= 'a' && text[i] <= 'f');

        if (form[i] == 'x' ? !hex : text[i] != form[i])
            return false;
    }
    return text[sizeof form - 1] == '\0';
}

const char *id_from_bytes(const uint8_t bytes[ID_RANDOM_BYTES], char out[33])
{
    for (unsigned i = 0; i < ID_RANDOM_BYTES; i++)
        snprintf(out + (size_t)i * 2, 3, "%02x", bytes[i]);
    return out;
}

/* Steps are the driver's action names: lower case, digits, underscore. */
static bool is_step(const char *text)
{
    size_t n = 0;

    if (!is_lower(text[0]))
        return false;
    while (n < 32 && (is_lower(text[n]) || is_digit(text[n]) || text[n] == '_'))
        n++;
    return n <= 31 && text[n] == '\0';
}

int op_id_make(const char *run, const char *node, uint32_t life, const char *step, const char *subject,
               uint32_t attempt, struct op_id *ret_id, struct err *err)
{
    struct op_id id;
    int n;

    if (!id_is_name(run) || !id_is_name(node) || (subject != NULL && !id_is_name(subject)))
        return err_set(err, ERR_INVALID, "operation id: `%s`, `%s` and `%s` must be names", run, node,
                       subject == NULL ? "" : subject);
    if (!is_step(step))
        return err_set(err, ERR_INVALID, "operation id: `%s` is not a step", step);
    if (life == 0 || attempt == 0)
        return err_set(err, ERR_INVALID, "operation id: lives and attempts count from 1");
    n = snprintf(id.text, sizeof id.text, "%s/%s/%u/%s%s%s/%u", run, node, (unsigned)life, step,
                 subject == NULL ? "" : ":", subject == NULL ? "" : subject, (unsigned)attempt);
    if (n < 0 || (size_t)n >= sizeof id.text)
        return err_set(err, ERR_INVALID, "operation id would be longer than %d bytes", ID_TEXT_MAX - 1);
    *ret_id = id;
    return 0;
}

/* Copy the text up to `end` into `out` and go behind it; false when `end` does
 * not come or the part does not fit. */
static bool take_part(const char **at, char end, char *out, size_t size)
{
    const char *stop = strchr(*at, end);
    size_t n;

    if (stop == NULL)
        return false;
    n = (size_t)(stop - *at);
    if (n >= size)
        return false;
    memcpy(out, *at, n);
    out[n] = '\0';
    *at = end == '\0' ? stop : stop + 1;
    return true;
}

/* A count as it is written: from 1, no leading zero, no sign. */
static bool take_count(const char **at, char end, uint32_t *ret_count)
{
    char digits[11];
    uint64_t v = 0;

    if (!take_part(at, end, digits, sizeof digits) || digits[0] == '0' || digits[0] == '\0')
        return false;
    for (const char *p = digits; *p != '\0'; p++) {
        if (!is_digit(*p))
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    *ret_count = (uint32_t)v;
    return v <= UINT32_MAX;
}

static bool cut_op_id(const char *at, struct op_id_parts *p)
{
    char step[sizeof p->step + sizeof p->subject];
    char *colon;

    if (!take_part(&at, '/', p->run, sizeof p->run) || !take_part(&at, '/', p->node, sizeof p->node) ||
        !take_count(&at, '/', &p->life) || !take_part(&at, '/', step, sizeof step) ||
        !take_count(&at, '\0', &p->attempt))
        return false;
    colon = strchr(step, ':');
    if (colon != NULL) {
        *colon = '\0';
        if (strlen(colon + 1) >= sizeof p->subject || !id_is_name(colon + 1))
            return false;
        strcpy(p->subject, colon + 1);
    }
    if (!is_step(step))
        return false;
    strcpy(p->step, step);
    return id_is_name(p->run) && id_is_name(p->node);
}

int op_id_parse(const char *text, struct op_id_parts *ret_parts, struct err *err)
{
    struct op_id_parts p = { .subject = "" };

    if (memchr(text, '\0', ID_TEXT_MAX) == NULL || !cut_op_id(text, &p))
        return err_set(err, ERR_INVALID,
                       "`%.127s` is not an operation id (RUN/NODE/LIFE/STEP[:SUBJECT]/ATTEMPT)", text);
    *ret_parts = p;
    return 0;
}
