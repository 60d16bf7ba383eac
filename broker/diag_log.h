/* SPDX-License-Identifier: Apache-2.0 */
/* Messages about a file as lines of the log, for a process that runs: whoever does not read it stops nobody. */
#ifndef SP_DIAG_LOG_H
#define SP_DIAG_LOG_H

#include "diag.h"

/* One line of each, without the line of the file that diag_print() shows. */
void diag_log(const struct diag_list *list);

#endif
