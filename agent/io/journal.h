/* The node's journal: SQLite, WAL, synchronous=FULL, rows that are only ever
 * added (triggers see to it); what is acknowledged may be dropped. */
#ifndef PATCHWAVE_JOURNAL_H
#define PATCHWAVE_JOURNAL_H

#include "agent/core/journal_fold.h"

struct journal;

/* Open for the service: make it if there never was one in this folder, check
 * it, bring it to the current schema, fold it.
 * `id_path` is a file beside it that tells that a journal once was here: one
 * that vanished or is empty is refused, not replaced (F23).
 * ERR_CORRUPT, ERR_VERSION (newer schema, or written by another program
 * version while an op is open), ERR_FULL, ERR_READONLY, ERR_IO, ERR_NOMEM. */
int journal_open(const char *path, const char *id_path, const char *program_version,
                 struct journal **ret_journal, struct journal_fold *ret_fold, struct err *err);
/* For people: read only, beside a running service. */
int journal_open_read(const char *path, struct journal **ret_journal, struct err *err);
void journal_close(struct journal *j);

const char *journal_id(const struct journal *j); /* 32 hex digits, made with the file */

/* Durable when it returns 0. ERR_FULL leaves the journal as it was. */
int journal_append(struct journal *j, const struct agent_record *rec, struct err *err);
/* Drop the records of an acknowledged op. */
int journal_forget(struct journal *j, const char *op, struct err *err);
/* {"records":[...],"next":n|null}: from record number `from` on, at most `max`
 * of them and about `max_bytes`. */
int journal_page(struct journal *j, int64_t from, int64_t max, size_t max_bytes, struct buf *out,
                 struct err *err);
int journal_load(struct journal *j, struct journal_fold *fold, struct err *err);

/* One step of the schema; step i brings user_version i to i+1. For tests also
 * with more steps than the program has. ERR_STATE while an op is open. */
int journal_migrate(struct journal *j, const char *const *steps, int n_steps, struct err *err);

#endif
