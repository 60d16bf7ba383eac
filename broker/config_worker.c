/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's configuration: whom the workers run as. Checked once everything is read, as it depends on who
 * we are, on this host's users, and on how many workers there may be.
 */
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_priv.h"
#include "lockdown.h"
#include "uid_range.h"

#define WORKER_USER "sallyport-net"
#define NOBODY      65534

/* Of each worker, where no other is named: far above what Debian and its tools hand out. */
static const struct uid_range default_uids = { 1900000000, 131072 };

static bool
find_uid(int64_t number, struct config_worker *worker)
{
	const struct passwd *entry;

	if (number < 0 || number > 2147483647)
		return false;
	entry = getpwuid((uid_t)number);
	worker->uid = (uid_t)number;
	worker->gid = entry != NULL ? entry->pw_gid : (gid_t)number;
	return true;
}

/* A name, or a uid in digits, which needs no entry in the password file. */
static bool
find_name(const char *name, struct config_worker *worker)
{
	const struct passwd *entry = getpwnam(name);
	size_t len = strlen(name);

	if (entry == NULL && len > 0 && len <= 10 && strspn(name, "0123456789") == len)
		return find_uid(strtoll(name, NULL, 10), worker);
	if (entry == NULL)
		return false;
	worker->uid = entry->pw_uid;
	worker->gid = entry->pw_gid;
	return true;
}

/*
 * No range is to be had: this is a user namespace that does not have the numbers. All workers share a
 * user then; without the one that the package makes nobody's uid will do, and is said aloud.
 */
static void
use_default_user(struct json_reader *r, const struct json_node *root)
{
	struct config_worker *worker = &config_draft_of(r)->config->worker;

	if (find_name(WORKER_USER, worker))
		return;
	worker->uid = NOBODY;
	worker->gid = NOBODY;
	/* After an error the user may just be what could not be read. */
	if (r->diags->n_errors != r->errors_before)
		return;
	json_read_diag(r, DIAG_W_NO_WORKER_USER, root, JSON_AT_VALUE,
	    "make that user, or name another: \"worker\": { \"user\": ... }",
	    "there is no user \"" WORKER_USER "\": workers run as nobody (%d)", NOBODY);
}

static void
use_named_user(struct json_reader *r, const struct json_node *node)
{
	struct config_worker *worker = &config_draft_of(r)->config->worker;
	bool number = json_node_kind(node) == JSON_KIND_INTEGER;
	bool found = number ? find_uid(json_node_integer(node), worker)
			    : find_name(json_node_string(node), worker);

	if (!found && number)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE, NULL,
		    "this is no uid: 1 to 2147483647");
	else if (!found)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE, NULL,
		    "there is no user \"%s\"", json_node_string(node));
	else if (worker->uid == 0 || worker->gid == 0)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE, NULL,
		    "workers face the network and must not run as root");
}

/* Is the range good for this host and for as many workers as there may be? */
static void
check_uids(struct json_reader *r, const struct json_node *node)
{
	const struct config *c = config_draft_of(r)->config;
	const struct uid_range range = { c->worker.uid, c->worker.n_uids };
	uint32_t workers = c->admission.connections + c->worker.prespawn;
	char why[512];

	if (range.count < workers)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE, NULL,
		    "\"uids\" has %u uids for up to %u workers: \"limits.connections\" is %u and "
		    "\"worker.prespawn\" is %u",
		    range.count, workers, c->admission.connections, c->worker.prespawn);
	else if (uid_range_taken(&range, &uid_range_system_files, why, sizeof(why)) != 0)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE,
		    "name a range that nobody uses",
		    "\"uids\" %s: no other user may have a worker's uid", why);
	else if (uid_range_unmapped(&range, &uid_range_system_files, why, sizeof(why)) != 0)
		json_read_diag(r, DIAG_E_WORKER_USER, node, JSON_AT_VALUE, NULL, "\"uids\" %s", why);
}

static void
use_default_uids(struct json_reader *r, const struct json_node *root)
{
	struct config_worker *worker = &config_draft_of(r)->config->worker;
	char why[512];

	if (uid_range_unmapped(&default_uids, &uid_range_system_files, why, sizeof(why)) != 0) {
		use_default_user(r, root);
		return;
	}
	worker->uid = default_uids.first;
	worker->n_uids = default_uids.count;
	if (uid_range_taken(&default_uids, &uid_range_system_files, why, sizeof(why)) != 0)
		json_read_diag(r, DIAG_E_WORKER_USER, root, JSON_AT_VALUE,
		    "name another: \"worker\": { \"uids\": \"FIRST-LAST\" }",
		    "the default range of the workers' uids %s", why);
}

void
config_find_worker_user(struct json_reader *r, const struct json_node *root)
{
	const struct config_draft *d = config_draft_of(r);
	struct config_worker *worker = &d->config->worker;

	/* Who may not change its uid starts workers as whoever it is. */
	if (!lockdown_has_cap(CAP_SETUID) || !lockdown_has_cap(CAP_SETGID)) {
		worker->uid = geteuid();
		worker->gid = getegid();
		worker->n_uids = 0;
	} else if (d->user != NULL && d->uids != NULL) {
		json_read_diag(r, DIAG_E_WORKER_USER, d->user, JSON_AT_KEY, "leave \"user\" out",
		    "\"user\" and \"uids\" exclude each other: one user for all workers, or a uid for "
		    "each");
	} else if (d->user != NULL) {
		use_named_user(r, d->user);
	} else if (d->uids != NULL) {
		check_uids(r, d->uids);
	} else {
		use_default_uids(r, root);
	}
	if (worker->n_uids != 0)
		worker->gid = (gid_t)worker->uid;
}
