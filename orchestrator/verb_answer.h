/* What is said to the one who gave a verb, wherever it was recorded. */
#ifndef PATCHWAVE_VERB_ANSWER_H
#define PATCHWAVE_VERB_ANSWER_H

#include "orchestrator/cli.h"

/* `answer`: {"seq","run","state","running","ended"} as JSON text. */
void verb_answer_say(const struct cli *c, const char *verb, const struct buf *answer);

#endif
