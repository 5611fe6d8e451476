/* Errors: a code for programs, a sentence for people. The caller owns
 * `struct err`; the function that sees the fault fills it with err_set, the
 * ones above add context in front with err_wrap, so it reads outside in:
 * `resume run 7: open store: disk full`. Both return the code. */
#ifndef PATCHWAVE_ERR_H
#define PATCHWAVE_ERR_H

#define ERR_MAP(X)                                                             \
    X(OK, "ok")                                                                \
    X(NOMEM, "out of memory")                                                  \
    X(INVALID, "invalid input")                                                \
    X(NOT_FOUND, "not found")                                                  \
    X(EXISTS, "already there")                                                 \
    X(CAPACITY, "capacity budget would be exceeded")                           \
    X(REFUSED, "refused")                                                      \
    X(STATE, "not possible in this state")                                     \
    X(IO, "input/output failed")                                               \
    X(FULL, "no space left")                                                   \
    X(READONLY, "read-only")                                                   \
    X(CORRUPT, "data is corrupt")                                              \
    X(LOCKED, "in use by another process")                                     \
    X(VERSION, "version not supported")                                        \
    X(CONNECT, "cannot connect")                                               \
    X(LOST, "connection lost")                                                 \
    X(TIMEOUT, "time limit reached")                                           \
    X(HOSTKEY, "host key is not the pinned one")                               \
    X(AUTH, "authentication failed")                                           \
    X(PROTOCOL, "protocol violated")                                           \
    X(FENCED, "fenced off by another controller")                              \
    X(STALE, "the log here is older than what nodes have seen")                \
    X(DIVERGED, "replay differs from the record")                              \
    X(CANCELLED, "cancelled")                                                  \
    X(UNKNOWN, "outcome is not known")                                         \
    X(INTERNAL, "internal error (this is a bug)")

enum err_code {
#define X(name, text) ERR_##name,
    ERR_MAP(X)
#undef X
        ERR_CODES
};

struct err {
    enum err_code code;
    char text[1024]; /* truncated, never overrun; always terminated */
};

/* Fill `err` (may be NULL) and return `code`. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put a context in front of what is there ("context: what was there") and
 * return the code that is there. Call it only on a filled `err`. */
int err_wrap(struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The stable lower-case name ("not_found") and the sentence for a code. */
const char *err_name(enum err_code code);
const char *err_sentence(enum err_code code);

#endif
