#include "orchestrator/bootstrap.h"

#include <string.h>

static const char *text_of(const char *os)
{
    size_t n = strlen(os);

    for (const struct embedded_text *t = bootstrap_texts; t->name != NULL; t++)
        if (strncmp(t->name, os, n) == 0 && t->name[n] == '.')
            return t->text;
    return NULL;
}

int bootstrap_write(struct buf *out, const char *os, const struct bootstrap_values *v, struct err *err)
{
    const struct {
        const char *mark, *value;
    } marks[] = { { "@NODE@", v->node }, { "@USER@", v->user }, { "@KEY@", v->key } };
    const char *text = text_of(os);

    if (text == NULL)
        return err_set(err, ERR_INVALID, "--os is windows or linux, not \"%s\"", os);
    while (*text != '\0') {
        size_t n = strcspn(text, "@"), mark_len = 0;

        buf_add(out, text, n);
        text += n;
        for (size_t i = 0; i < sizeof marks / sizeof marks[0] && mark_len == 0; i++)
            if (strncmp(text, marks[i].mark, strlen(marks[i].mark)) == 0) {
                buf_str(out, marks[i].value);
                mark_len = strlen(marks[i].mark);
            }
        if (mark_len == 0 && *text != '\0') {
            buf_char(out, *text);
            mark_len = 1;
        }
        text += mark_len;
    }
    return 0;
}
