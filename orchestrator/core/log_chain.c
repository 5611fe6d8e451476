#include "orchestrator/core/event_log.h"

#include <string.h>

void log_chain(const char prev_hash[SHA256_TEXT], const char *event_text, const char *commands_text,
               char out[SHA256_TEXT])
{
    uint8_t digest[SHA256_BYTES];
    struct sha256 s;

    sha256_init(&s);
    sha256_add(&s, prev_hash, strlen(prev_hash));
    /* The NULs stand between the parts: no text can slide from one into the next. */
    sha256_add(&s, "", 1);
    sha256_add(&s, event_text, strlen(event_text));
    sha256_add(&s, "", 1);
    sha256_add(&s, commands_text, strlen(commands_text));
    sha256_end(&s, digest);
    sha256_hex(digest, out);
}
