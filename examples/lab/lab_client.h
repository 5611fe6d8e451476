/* The admin's side of the lab, for the command line. */
#ifndef PATCHWAVE_LAB_CLIENT_H
#define PATCHWAVE_LAB_CLIENT_H

#include "schema/err.h"

#include <stdbool.h>

/* From the running daemon, or from the file when none runs. */
int lab_print_truth(const char *dir, bool json_text, struct err *err);
/* Names and meanings, and with a dir what is set there. */
int lab_fault_list(const char *dir, struct err *err);
/* `what` is "add" or "remove". */
int lab_fault(const char *dir, const char *what, const char *name, const char *subject, const char *arg,
              struct err *err);
/* Until every node that has power listens, at most 3 minutes. ERR_TIMEOUT. */
int lab_wait(const char *dir, struct err *err);

#endif
