/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of the host that may be mounted into a container, and all those that may not. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bind_fixture.h"
#include "bind_source.h"
#include "config.h"
#include "policy.h"

#define TENANT 12345

static char base[] = "/srv/sallyport-test-XXXXXX";
static char paths[8][PATH_MAX];

/* base and what comes below it; good for eight at a time. */
static const char *
at(const char *name)
{
	static unsigned next;
	char *path = paths[next++ % SP_ARRAY_LEN(paths)];

	(void)snprintf(path, PATH_MAX, "%s%s", base, name);
	return path;
}

static int
check_with(const struct config *c, const char *path, const char *reason)
{
	struct policy_bind bind = { .given = "r/x", .root = base, .source = path, .target = "/x" };
	char why[PATH_MAX + 128] = "";
	int r = bind_source_check(c, &bind, why, sizeof(why));

	if (reason != NULL && strstr(why, reason) == NULL)
		fail_msg("%s: \"%s\" instead of \"%s\"", path, why, reason);
	return r;
}

static int
check(const char *path, const char *reason)
{
	const struct config c = bind_config();

	return check_with(&c, path, reason);
}

static void
make(const char *name, uid_t owner, mode_t mode)
{
	const char *path = at(name);

	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, owner, owner), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static int
set_up(void **state)
{
	(void)state;
	if (geteuid() != 0)
		return 0;
	assert_non_null(mkdtemp(base));
	assert_int_equal(chmod(base, 0755), 0);
	return 0;
}

static int
tear_down(void **state)
{
	char line[PATH_MAX];

	(void)state;
	if (geteuid() != 0)
		return 0;
	(void)snprintf(line, sizeof(line), "rm -rf %s", base);
	return system(line);
}

static void
need_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void
good_ones(void **state)
{
	(void)state;
	need_root();
	make("/alice", TENANT, 0700);
	make("/wide", TENANT, 0777); /* what is in it is the tenant's, not the place that it has */
	make("/deep", 0, 0755);
	make("/deep/down", 0, 0700);
	make("/deep/down/bob", TENANT, 0700);
	make("/sticky", 0, 01777);
	make("/sticky/roots", 0, 0755);
	make("/sticky/roots/x", TENANT, 0700);
	assert_int_equal(check(at("/alice"), NULL), 0);
	assert_int_equal(check(at("/wide"), NULL), 0);
	assert_int_equal(check(at("/deep/down/bob"), NULL), 0);
	assert_int_equal(check(at("/sticky/roots"), NULL), 0);
	assert_int_equal(check(at("/sticky/roots/x"), NULL), 0);
}

static void
missing(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(check(at("/nobody"), "/nobody does not exist"), BIND_SOURCE_E_MISSING);
	assert_int_equal(check(at("/nobody/at/all"), "/nobody does not exist"),
	    BIND_SOURCE_E_MISSING);
}

/* A link is refused wherever it stands and wherever it leads, also back to where all would be well. */
static void
links(void **state)
{
	(void)state;
	need_root();
	make("/real", 0, 0755);
	make("/real/x", TENANT, 0700);
	assert_int_equal(symlink("/etc", at("/to-etc")), 0);
	assert_int_equal(symlink(at("/real"), at("/to-real")), 0);
	assert_int_equal(symlink("nowhere", at("/to-nowhere")), 0);
	assert_int_equal(check(at("/to-etc"), "symbolic link"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/to-real"), "symbolic link"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/to-real/x"), "symbolic link"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/to-nowhere"), "symbolic link"), BIND_SOURCE_E_UNSAFE);
}

/* The same by which a tenant would change the path after it was looked at. */
static void
replaceable(void **state)
{
	(void)state;
	need_root();
	make("/tenant", TENANT, 0755);
	make("/tenant/www", TENANT, 0755);
	make("/tenant/roots", 0, 0755);
	make("/group", 0, 0775);
	make("/group/x", 0, 0755);
	make("/open", 0, 0777);
	make("/open/x", 0, 0755);
	make("/sticky-too", 0, 01777);
	make("/sticky-too/x", TENANT, 0755);
	make("/sticky-of-tenant", TENANT, 01777);
	make("/sticky-of-tenant/x", 0, 0755);
	assert_int_equal(check(at("/tenant"), NULL), 0);
	assert_int_equal(check(at("/tenant/www"), "could be replaced"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/tenant/roots"), "could be replaced"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/group/x"), "could be replaced"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/open/x"), "could be replaced"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/sticky-too/x"), "could be replaced"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/sticky-of-tenant/x"), "could be replaced"), BIND_SOURCE_E_UNSAFE);
}

static void
no_directories(void **state)
{
	int fd;

	(void)state;
	need_root();
	fd = open(at("/file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(mkfifo(at("/fifo"), 0600), 0);
	assert_int_equal(check(at("/file"), "not a directory"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/file/x"), "not a directory"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/fifo"), "not a directory"), BIND_SOURCE_E_UNSAFE);
}

static void
outside(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(check(base, "not below"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check("/etc", "not below"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("-too"), "not below"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/../x"), "not below"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/a//b"), "not below"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check(at("/a/"), "not below"), BIND_SOURCE_E_UNSAFE);
}

/* The way to the engine and what is the broker's own, also where they stand behind a link. */
static void
fences(void **state)
{
	const char *keys[] = { NULL, NULL };
	struct config c = bind_config();

	(void)state;
	need_root();
	make("/f", 0, 0755);
	make("/f/run", 0, 0755);
	make("/f/run/x", 0, 0755);
	make("/f/other", 0, 0755);
	assert_int_equal(symlink(at("/f/run"), at("/f/link")), 0);
	assert_int_equal(check_with(&c, at("/f"), NULL), 0);
	c.engine.socket = at("/f/run/docker.sock");
	assert_int_equal(check_with(&c, at("/f"), "sallyport's"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check_with(&c, at("/f/run"), "sallyport's"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check_with(&c, at("/f/other"), NULL), 0);
	c = bind_config();
	c.runtime_dir = c.engine.view_runtime_dir = at("/f/link");
	assert_int_equal(check_with(&c, at("/f"), "sallyport's"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check_with(&c, at("/f/run/x"), "sallyport's"), BIND_SOURCE_E_UNSAFE);
	assert_int_equal(check_with(&c, at("/f/other"), NULL), 0);
	c = bind_config();
	keys[0] = at("/f/run/key");
	c.host_keys = keys;
	assert_int_equal(check_with(&c, at("/f/run"), "host key"), BIND_SOURCE_E_UNSAFE);
	c = bind_config();
	c.audit.file = at("/f/other/audit.log");
	assert_int_equal(check_with(&c, at("/f/other"), "sallyport's"), BIND_SOURCE_E_UNSAFE);
	c.audit.file = NULL;
	assert_int_equal(check_with(&c, at("/f/other"), NULL), 0);
	c.policy_shadow = at("/f/other/next.json");
	assert_int_equal(check_with(&c, at("/f/other"), "sallyport's"), BIND_SOURCE_E_UNSAFE);
	c = bind_config();
	c.engine.view_runtime_dir = "/elsewhere";
	assert_int_equal(check_with(&c, at("/f/other"), "host_view"), BIND_SOURCE_E_UNSAFE);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones),
		cmocka_unit_test(missing),
		cmocka_unit_test(links),
		cmocka_unit_test(replaceable),
		cmocka_unit_test(no_directories),
		cmocka_unit_test(outside),
		cmocka_unit_test(fences),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
