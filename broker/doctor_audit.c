/* SPDX-License-Identifier: Apache-2.0 */
/* The examination of the audit log: whether it can be written, until when, and who can read or change it. */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "audit.h"
#include "broker_user.h"
#include "config.h"
#include "path.h"

#define WHY_MAX     1024
#define MIB         (UINT64_C(1) << 20)
#define ROOM_NEEDED MIB         /* with less nobody is let in, or soon */
#define ROOM_WANTED (256 * MIB) /* with less somebody should look */

static const char *const place_advice =
    "let it, and every directory above it, belong to root or to the broker's user, and take the right to "
    "write from group and others";

/* The broker does not make it. True: there is one. */
static bool
examine_place(struct doctor *d, const char *dir, struct stat *ret)
{
	char why[WHY_MAX] = "";

	if (stat(dir, ret) < 0) {
		doctor_say(d, DOCTOR_ERROR, "audit.file", "make it, for the broker's user alone",
		    "the audit log's directory %s: %s: the broker does not start", dir,
		    strerror(errno));
		return false;
	}
	if (!doctor_is_guarded(dir, ret, why, sizeof(why)))
		doctor_say(d, DOCTOR_WARNING, "audit.file", place_advice,
		    "%s: somebody else could take the audit log away, or put another in its place",
		    why);
	return true;
}

const struct audit_fault *
doctor_audit_fault(const struct config *c, const struct stat *st)
{
	return audit_file_fault(st, broker_user_of(c));
}

static void
examine_readers(struct doctor *d, const char *path, const struct stat *st, const struct stat *dir)
{
	mode_t both = st->st_mode & (dir->st_mode << 2);

	if ((both & 04) != 0)
		doctor_say(d, DOCTOR_WARNING, "audit.readers",
		    "chmod o-r the file, or o-x its directory",
		    "everybody on this host can read in %s who logs in, from where, and what they run",
		    path);
	else if ((both & 040) != 0)
		doctor_say(d, DOCTOR_NOTE, "audit.readers", "nobody else should be in that group",
		    "%s can be read by the group with gid %u", path, (unsigned)st->st_gid);
	else
		doctor_say(d, DOCTOR_OK, "audit.readers", NULL, "only its owner can read %s", path);
}

static void
examine_file(struct doctor *d, const char *path, const struct stat *dir, const char *dir_path)
{
	const struct audit_fault *fault = NULL;
	const char *error = NULL;
	struct stat st;

	if (lstat(path, &st) == 0) {
		fault = doctor_audit_fault(d->config, &st);
		if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0)
			error = strerror(errno);
		examine_readers(d, path, &st, dir);
	} else if (errno != ENOENT || faccessat(AT_FDCWD, dir_path, W_OK | X_OK, AT_EACCESS) < 0) {
		error = strerror(errno);
	}
	if (fault != NULL)
		doctor_say(d, DOCTOR_ERROR, "audit.file", fault->advice,
		    "the audit log %s %s: the broker does not start", path, fault->what);
	else if (error != NULL)
		doctor_say(d, DOCTOR_ERROR, "audit.file",
		    "let it be a file of the broker's user with mode 0600, in a directory where that user may "
		    "make one",
		    "the audit log %s: %s: the broker does not start", path, error);
	else
		doctor_say(d, DOCTOR_OK, "audit.file", NULL, "%s can be written", path);
}

static void
examine_room(struct doctor *d, const char *dir)
{
	static const char advice[] = "make room, or rotate the log: sallyport-audit(5)";
	bool required = d->config->audit.required;
	struct statvfs fs;
	uint64_t room;

	if (statvfs(dir, &fs) < 0)
		return;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if ((fs.f_flag & ST_RDONLY) != 0)
		doctor_say(d, DOCTOR_ERROR, "audit.room", "mount it for writing",
		    "%s is on a filesystem that is read only: the broker does not start", dir);
	else if (room < ROOM_NEEDED)
		doctor_say(d, required ? DOCTOR_ERROR : DOCTOR_WARNING, "audit.room", advice,
		    "%s is full: %s", dir,
		    required ? "nobody is let in, and nothing is started"
			     : "what happens is not written down");
	else if (room < ROOM_WANTED)
		doctor_say(d, DOCTOR_WARNING, "audit.room", advice, "%s has %" PRIu64 " MiB left%s",
		    dir, room / MIB, required ? ": when it is full, nobody is let in" : "");
	else
		doctor_say(d, DOCTOR_OK, "audit.room", NULL, "%s has %" PRIu64 " MiB left", dir,
		    room / MIB);
}

void
doctor_audit(struct doctor *d)
{
	const char *path = d->config->audit.file;
	char dir[PATH_MAX];
	struct stat st;
	bool other;

	if (path == NULL) {
		doctor_say(d, DOCTOR_NOTE, "audit.file",
		    "\"audit\": { \"file\": \"/var/log/sallyport/audit.log\" } in broker.json",
		    "there is no audit log: nobody can say afterwards who was let in, and what they did");
		return;
	}
	other = broker_user_become(d->config);
	path_directory(path, dir);
	if (examine_place(d, dir, &st)) {
		examine_file(d, path, &st, dir);
		examine_room(d, dir);
	}
	if (other)
		broker_user_leave();
}
