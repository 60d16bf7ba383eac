/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: what is wrong with a file that is read while it runs. */
#include "diag_log.h"

#include <stdio.h>

#include "log.h"

static void
log_item(const struct diag *d)
{
	char place[32] = "";

	if (d->line != 0)
		(void)snprintf(place, sizeof(place), ":%u:%u", d->line, d->column);
	log_msg(diag_is_error(d->code) ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "%s%s: %s [%s]%s%s",
	    d->file, place, d->message, diag_code_name(d->code), d->help != NULL ? "; help: " : "",
	    d->help != NULL ? d->help : "");
}

void
diag_log(const struct diag_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		log_item(&list->items[i]);
	if (list->n_left_out != 0)
		log_warn("%zu further messages are not shown", list->n_left_out);
	if (list->out_of_memory)
		log_warn("out of memory: some messages are missing");
}
