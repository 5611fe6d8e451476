/* Errors: a code for programs, a sentence for people. The caller owns
 * `struct err`; the function that sees the fault fills it with err_set, the
 * ones above add context in front with err_wrap, so it reads outside in:
 * `resume run 7: open store: disk full`. Both return the code. */
#ifndef PATCHWAVE_ERR_H
#define PATCHWAVE_ERR_H

#define ERR_MAP(X)                                                     \
    X(OK, ok, "ok")                                                    \
    X(NOMEM, nomem, "out of memory")                                   \
    X(INVALID, invalid, "invalid input")                               \
    X(NOT_FOUND, not_found, "not found")                               \
    X(EXISTS, exists, "already there")                                 \
    X(CAPACITY, capacity, "capacity budget would be exceeded")         \
    X(REFUSED, refused, "refused")                                     \
    X(STATE, state, "not possible in this state")                      \
    X(IO, io, "input/output failed")                                   \
    X(FULL, full, "no space left")                                     \
    X(READONLY, readonly, "read-only")                                 \
    X(CORRUPT, corrupt, "data is corrupt")                             \
    X(LOCKED, locked, "in use by another process")                     \
    X(VERSION, version, "version not supported")                       \
    X(CONNECT, connect, "cannot connect")                              \
    X(LOST, lost, "connection lost")                                   \
    X(TIMEOUT, timeout, "time limit reached")                          \
    X(HOSTKEY, hostkey, "host key is not the pinned one")              \
    X(AUTH, auth, "authentication failed")                             \
    X(PROTOCOL, protocol, "protocol violated")                         \
    X(FENCED, fenced, "fenced off by another controller")              \
    X(STALE, stale, "the log here is older than what nodes have seen") \
    X(DIVERGED, diverged, "replay differs from the record")            \
    X(CANCELLED, cancelled, "cancelled")                               \
    X(UNKNOWN, unknown, "outcome is not known")                        \
    X(INTERNAL, internal, "internal error (this is a bug)")

enum err_code {
#define X(name, lower, text) ERR_##name,
    ERR_MAP(X)
#undef X
        ERR_CODES
};

struct err {
    enum err_code code;
    char text[1024]; /* truncated at a whole UTF-8 character; always terminated */
};

/* Fill `err` (may be NULL) and return `code`. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put a context in front of what is there ("context: what was there") and
 * return the code that is there. Call it only on a filled `err`; NULL, which
 * has forgotten its code, gives ERR_INTERNAL. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The stable lower-case name ("not_found") and the sentence for a code. */
const char *err_name(enum err_code code);
const char *err_sentence(enum err_code code);

#endif
