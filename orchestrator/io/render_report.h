/* The record of a run for those who read it afterwards: text, Markdown, or
 * JSON (schema/report.schema.json), from the projections. */
#ifndef PATCHWAVE_RENDER_REPORT_H
#define PATCHWAVE_RENDER_REPORT_H

#include "orchestrator/io/store.h"
#include "schema/buf.h"
#include "schema/times.h"

enum report_form { REPORT_TEXT, REPORT_MARKDOWN, REPORT_JSON };

/* `now` ends what is still open; `lab`: its figures are simulated (O35). */
int render_report(struct buf *out, struct store *s, const char *run, enum report_form form, time_ms now,
                  bool lab, struct err *err);

#endif
