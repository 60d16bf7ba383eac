/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broker: containers of mode "user". Hostile: the engine's list. What it says about a container is
 * believed only as far as our own proof goes, which binds name, user and everything else that is read.
 */
#include "user_containers.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "audit.h"
#include "broker.h"
#include "claim.h"
#include "clock.h"
#include "config.h"
#include "container.h"
#include "container_plan.h"
#include "data_path.h"
#include "engine.h"
#include "ipc.h"
#include "keep_mark.h"
#include "log.h"
#include "made_of.h"
#include "policy.h"

#define TEXT_MAX    512 /* of the label */
#define PROFILE_MAX 128
#define TARGET_MAX  65  /* policy_split_name() */
#define NO_TARGET   "-" /* in the label; no target begins like this */

/* What is known of one; in this form it is also in its label. */
struct facts {
	char user[IPC_USER_MAX + 1];
	char key[MADE_OF_LEN + 1]; /* whose and what for: one container for each */
	char made_of[MADE_OF_LEN + 1];
	uint32_t keep_ms;
	uint32_t grace_ms;
	char profile[PROFILE_MAX];
	char target[TARGET_MAX]; /* what the name asked for behind "+", or "" */
};

struct kept {
	TAILQ_ENTRY(kept) link;
	struct user_containers *set;
	struct container *container;
	struct facts facts;
	struct policy_grant *waiting; /* NULL, or: it is not known yet whether it has to be made */
	char connection[16];          /* of the login that waits */
	bool retired;
	struct event *timer;
	int64_t end_at; /* ms of clock_now_ms(), while the timer runs; else 0 */
	int64_t mark;   /* 0: none */
};

TAILQ_HEAD(kept_list, kept);

struct user_containers {
	struct broker *broker;
	struct kept_list list;
	bool all_found;
};

static const char *
state_dir(const struct kept *k)
{
	return k->set->broker->config->state_dir;
}

/* ---- how long ---- */

static void
stop_waiting(struct kept *k)
{
	k->end_at = 0;
	(void)event_del(k->timer);
	if (k->mark != 0)
		keep_mark_clear(state_dir(k), container_name(k->container), k->mark);
	k->mark = 0;
}

static void
on_time_over(evutil_socket_t fd, short what, void *arg)
{
	struct kept *k = arg;

	(void)fd;
	(void)what;
	log_info("container=%s user=%s was kept long enough", container_name(k->container),
	    k->facts.user);
	container_end(k->container);
}

/* It ends in so many seconds, also when this process does not see that day. */
static void
wait_for_user(struct kept *k, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);
	int64_t until = keep_mark_now() + (ms + 999) / 1000;
	int r = 0;

	if (k->mark != until) {
		r = keep_mark_set(state_dir(k), container_name(k->container), until);
		if (r == 0 && k->mark != 0)
			keep_mark_clear(state_dir(k), container_name(k->container), k->mark);
	}
	if (r < 0)
		log_warn("container=%s a restart will not know since when it is kept: %s: %s",
		    container_name(k->container), state_dir(k), strerror(-r));
	else
		k->mark = until;
	k->end_at = clock_now_ms() + ms;
	if (event_add(k->timer, &tv) < 0)
		container_end(k->container);
}

/* ---- what a login gets ---- */

static int
facts_of(const struct broker *b, const struct policy_profile *profile, const char *user,
    const char *target, struct facts *ret)
{
	char text[TEXT_MAX];
	int n = snprintf(text, sizeof(text), "%s\n%s\n%s\n%s", user, profile->name,
	    profile->set_by != NULL ? profile->set_by : "", target != NULL ? target : "");
	int r = n < 0 || n >= (int)sizeof(text) ? -EINVAL : made_of_hash(text, (size_t)n, ret->key);

	if (r == 0)
		r = made_of(b, profile, ret->made_of);
	(void)snprintf(ret->user, sizeof(ret->user), "%s", user);
	(void)snprintf(ret->profile, sizeof(ret->profile), "%s", profile->name);
	(void)snprintf(ret->target, sizeof(ret->target), "%s", target != NULL ? target : "");
	ret->keep_ms = profile->keep_ms;
	ret->grace_ms = profile->stop_grace_ms;
	return r;
}

static int
facts_of_login(const struct broker *b, const struct user_containers_login *login, struct facts *ret)
{
	return facts_of(b, policy_grant_profile(login->grant), login->who->user, login->target, ret);
}

static const char *
target_of(const struct facts *f)
{
	return f->target[0] != '\0' ? f->target : NULL;
}

/* Somebody may come back to it. */
struct comeback {
	const struct user_containers *set;
	const struct facts *facts;
	uint64_t memory; /* bytes that its place among the ceilings has then */
	enum policy_data_path data_path;
};

/* Whether who is let in like this gets what the facts are about, made of what they say. */
static bool
is_the_same(void *arg, const struct policy_decision *d)
{
	struct comeback *comeback = arg;
	const struct facts *f = comeback->facts;
	struct broker *b = comeback->set->broker;
	struct policy_login login = { .user = f->user, .target = target_of(f) };
	struct policy_grant *grant = NULL;
	struct facts other;
	char why[256];
	bool same;

	if (d->profile->mode != POLICY_MODE_USER || strcmp(d->profile->name, f->profile) != 0 ||
	    policy_grant_new(b->policy, &login, d, &grant, why, sizeof(why)) != 0)
		return false;
	same = facts_of(b, policy_grant_profile(grant), f->user, login.target, &other) == 0 &&
	    strcmp(other.key, f->key) == 0 && strcmp(other.made_of, f->made_of) == 0;
	comeback->memory = policy_grant_profile(grant)->memory;
	comeback->data_path = policy_grant_profile(grant)->reached_by;
	(void)policy_grant_unref(grant);
	return same;
}

/* By the policy in force. False: nobody could come back to it, and it is not to stay. */
static bool
is_wanted(const struct user_containers *u, const struct facts *f, struct comeback *ret)
{
	*ret = (struct comeback){ .set = u, .facts = f };
	return policy_may_get(u->broker->policy, f->user, target_of(f), time(NULL), is_the_same, ret);
}

/* ---- the keeper ---- */

static void
on_idle(void *arg, struct container *c)
{
	struct kept *k = arg;
	const struct broker *b = k->set->broker;
	struct comeback comeback;

	/* A login by an earlier policy may have begun it after that had changed. */
	if (k->retired || k->facts.keep_ms == 0 || k->waiting != NULL ||
	    !is_wanted(k->set, &k->facts, &comeback) || (b->draining && !container_can_stay(c)))
		container_end(c);
	else
		wait_for_user(k, k->facts.keep_ms);
}

/* For the next run, should this one not see its end. */
static void
mark_ended(struct kept *k)
{
	int r = keep_mark_set(state_dir(k), container_name(k->container), KEEP_MARK_ENDED);

	if (r < 0)
		log_warn("container=%s a restart will not know that it is to end: %s: %s",
		    container_name(k->container), state_dir(k), strerror(-r));
	stop_waiting(k);
	k->mark = r < 0 ? 0 : KEEP_MARK_ENDED;
}

static void
retire(struct kept *k, const char *why)
{
	if (!k->retired) {
		log_info("container=%s user=%s %s: it ends with the last who is in it",
		    container_name(k->container), k->facts.user, why);
		mark_ended(k);
	}
	k->retired = true;
	if (container_owners(k->container) == 0)
		container_end(k->container);
}

static void
on_stale(void *arg, struct container *c)
{
	(void)c;
	retire(arg, "has an old image");
}

static void
free_kept(struct kept *k)
{
	TAILQ_REMOVE(&k->set->list, k, link);
	policy_grant_unref(k->waiting);
	if (k->timer != NULL)
		event_free(k->timer);
	free(k);
}

static void
on_gone(void *arg, bool ended)
{
	struct kept *k = arg;

	if (ended)
		stop_waiting(k);
	free_kept(k);
}

/* One more, with a container that is nothing yet. NULL: out of memory. */
static struct kept *
add(struct user_containers *u, const struct facts *facts, const char *connection)
{
	struct kept *k = calloc(1, sizeof(*k));
	struct container_keeper keeper = { on_idle, on_stale, on_gone, k };

	if (k == NULL)
		return NULL;
	k->set = u;
	k->facts = *facts;
	TAILQ_INSERT_TAIL(&u->list, k, link);
	k->timer = evtimer_new(u->broker->base, on_time_over, k);
	if (k->timer != NULL)
		k->container = container_reserve(u->broker, connection);
	if (k->container == NULL) {
		free_kept(k);
		return NULL;
	}
	container_set_keeper(k->container, &keeper);
	return k;
}

/* ---- labels ---- */

static int
label_text(const struct facts *f, char out[TEXT_MAX])
{
	int n = snprintf(out, TEXT_MAX, "%s %s %s %" PRIu32 " %" PRIu32 " %s %s", SP_VERSION,
	    f->key, f->made_of, f->keep_ms, f->grace_ms, f->profile,
	    f->target[0] != '\0' ? f->target : NO_TARGET);

	return n < 0 || n >= TEXT_MAX ? -EINVAL : 0;
}

/* What no image and no other container can have: it is about this name. */
static int
label_proof(const struct broker *b, const char *name, const char *user, const char *text,
    char out[INSTANCE_PROOF_LEN + 1])
{
	char all[TEXT_MAX + INSTANCE_NAME_LEN + IPC_USER_MAX + 16];
	int n = snprintf(all, sizeof(all), "kept\n%s\n%s\n%s", name, user, text);

	return n < 0 || n >= (int)sizeof(all) ? -EINVAL : instance_proof(&b->instance, all, out);
}

/* The next word of *text, of at most cap - 1 bytes. */
static bool
next_word(const char **text, char *out, size_t cap)
{
	size_t n = strcspn(*text, " ");

	if (n == 0 || n >= cap)
		return false;
	memcpy(out, *text, n);
	out[n] = '\0';
	*text += n + ((*text)[n] == ' ');
	return true;
}

static bool
next_number(const char **text, uint32_t *ret)
{
	char word[16];
	char *end = NULL;
	unsigned long value;

	if (!next_word(text, word, sizeof(word)) || word[0] < '0' || word[0] > '9')
		return false;
	value = strtoul(word, &end, 10);
	*ret = (uint32_t)value;
	return *end == '\0' && value <= UINT32_MAX;
}

/* After the proof: the words are our own, but perhaps those of another release. */
static bool
parse_label(const char *text, struct facts *ret)
{
	char version[64];
	bool good = next_word(&text, version, sizeof(version)) &&
	    strcmp(version, SP_VERSION) == 0 && next_word(&text, ret->key, sizeof(ret->key)) &&
	    next_word(&text, ret->made_of, sizeof(ret->made_of)) &&
	    next_number(&text, &ret->keep_ms) && next_number(&text, &ret->grace_ms) &&
	    next_word(&text, ret->profile, sizeof(ret->profile)) &&
	    next_word(&text, ret->target, sizeof(ret->target)) && *text == '\0';

	if (good && strcmp(ret->target, NO_TARGET) == 0)
		ret->target[0] = '\0';
	return good;
}

/* ---- a login ---- */

/* The one that is for this and made of this. */
static struct kept *
find(const struct user_containers *u, const struct facts *facts)
{
	struct kept *k;

	TAILQ_FOREACH(k, &u->list, link)
	{
		if (!k->retired && container_down_text(k->container) == NULL &&
		    strcmp(k->facts.key, facts->key) == 0 &&
		    strcmp(k->facts.made_of, facts->made_of) == 0)
			return k;
	}
	return NULL;
}

/* Those that are for the same, but made of something else. */
static void
retire_others(struct user_containers *u, const struct facts *facts)
{
	struct kept *k;
	struct kept *next;

	for (k = TAILQ_FIRST(&u->list); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (strcmp(k->facts.key, facts->key) == 0 &&
		    strcmp(k->facts.made_of, facts->made_of) != 0)
			retire(k, "is not what the policy says now");
	}
}

static int
launch(struct kept *k, struct policy_grant *grant, const char *connection)
{
	struct broker *b = k->set->broker;
	char proof[INSTANCE_PROOF_LEN + 1];
	char name[INSTANCE_NAME_LEN + 1];
	char text[TEXT_MAX];
	struct container_kept kept = { text, proof, k->facts.keep_ms };
	struct container_request request = { .grant = grant,
		.connection = connection,
		.user = k->facts.user,
		.name = name,
		.made_of = k->facts.made_of,
		.kept = &kept };
	int r = instance_new_name(name);

	if (r == 0)
		r = label_text(&k->facts, text);
	if (r == 0)
		r = label_proof(b, name, k->facts.user, text, proof);
	return r == 0 ? container_launch(k->container, &request) : r;
}

static int
begin(struct user_containers *u, const struct user_containers_login *login,
    const struct facts *facts, struct container **ret)
{
	struct kept *k = add(u, facts, login->who->connection);
	int r;

	if (k == NULL)
		return -ENOMEM;
	r = container_join(k->container, login->owner);
	if (r == 0 && u->all_found)
		r = launch(k, login->grant, login->who->connection);
	else if (r == 0) {
		k->waiting = policy_grant_ref(login->grant);
		(void)snprintf(k->connection, sizeof(k->connection), "%s", login->who->connection);
	}
	if (r < 0) {
		k->retired = true;
		container_release(k->container, login->owner->arg);
		return r;
	}
	*ret = k->container;
	/* Nothing is listed now, so it would wait for nothing. */
	if (!u->all_found && engine_health(u->broker->engine) == ENGINE_UNHEALTHY)
		user_containers_not_found(u);
	return 0;
}

/* Before they have it. One that is on its way may have no name yet, or no id. */
static bool
audit_handout(const struct kept *k, const struct audit_subject *who)
{
	const char *name = container_name(k->container);
	const char *id = container_id(k->container);

	return audit_event(k->set->broker->audit, "container.handout", who,
	    AUDIT_TEXT("container", name[0] != '\0' ? name : NULL),
	    AUDIT_TEXT("id", id[0] != '\0' ? id : NULL), AUDIT_TEXT("profile", k->facts.profile),
	    AUDIT_TEXT("source", "user"));
}

static int
join(struct kept *k, const struct user_containers_login *login, struct container **ret)
{
	struct container *c = k->container;
	int r;

	if (!audit_handout(k, login->who))
		return -EIO;
	r = container_join(c, login->owner);
	if (r < 0)
		return r;
	stop_waiting(k);
	/* What counts is the policy of who came last. */
	k->facts.keep_ms = policy_grant_profile(login->grant)->keep_ms;
	log_info("connection=%s user=%s container=%s is there already", login->who->connection,
	    login->who->user, container_name(c));
	*ret = c;
	return 0;
}

bool
user_containers_has(struct user_containers *u, const struct user_containers_login *login)
{
	struct facts facts;

	if (facts_of_login(u->broker, login, &facts) < 0)
		return false;
	/* Before its place is needed for the new one. */
	retire_others(u, &facts);
	return find(u, &facts) != NULL;
}

int
user_containers_get(struct user_containers *u, const struct user_containers_login *login,
    struct container **ret)
{
	struct facts facts;
	struct kept *k;
	int r = facts_of_login(u->broker, login, &facts);

	if (r < 0)
		return r;
	retire_others(u, &facts);
	k = find(u, &facts);
	return k != NULL ? join(k, login, ret) : begin(u, login, &facts, ret);
}

/* ---- after a restart ---- */

static bool
read_labels(const struct broker *b, const struct engine_list_item *item, struct facts *ret)
{
	const char *text = engine_list_label(item, CONTAINER_LABEL_KEPT);
	const char *user = engine_list_label(item, CONTAINER_LABEL_USER);
	const char *proof = engine_list_label(item, CONTAINER_LABEL_KEPT_PROOF);
	char own[INSTANCE_PROOF_LEN + 1];

	if (text == NULL || user == NULL || proof == NULL || strlen(proof) != INSTANCE_PROOF_LEN ||
	    strlen(user) > IPC_USER_MAX || label_proof(b, item->name, user, text, own) < 0 ||
	    CRYPTO_memcmp(own, proof, INSTANCE_PROOF_LEN) != 0)
		return false;
	(void)snprintf(ret->user, sizeof(ret->user), "%s", user);
	return parse_label(text, ret);
}

/* What is left of its time, in ms; the whole of it when nobody wrote down when it began. */
static int64_t
time_left(const struct kept *k)
{
	int64_t seconds = k->mark - keep_mark_now();

	/* Compared before it is multiplied: whatever number is in the name. */
	if (k->mark == 0 || seconds > k->facts.keep_ms / 1000)
		return k->facts.keep_ms;
	return seconds > 0 ? seconds * 1000 : 0;
}

/* Somebody waits for just this one, who has a place for it among those of the ceilings; or nobody does. */
static struct kept *
place_for(struct user_containers *u, const struct facts *facts, uint64_t memory, bool *ret_waited)
{
	struct kept *k = find(u, facts);
	struct ceiling_hold *place = NULL;

	*ret_waited = k != NULL && k->waiting != NULL;
	if (*ret_waited) {
		k->waiting = policy_grant_unref(k->waiting);
		return k;
	}
	k = add(u, facts, NULL);
	if (k != NULL && claim_found(u->broker, facts->user, memory, &place) == 0)
		container_set_place(k->container, &place);
	return k;
}

/* Who has waited for it learns that it is there, and the audit log does before. 0 or -errno. */
static int
take_over(struct kept *k, const struct engine_list_item *item, enum policy_data_path data_path,
    bool waited)
{
	struct audit_subject who = { .connection = k->connection, .user = k->facts.user };
	int r = container_take_over(k->container, item->name, item->id, k->facts.made_of, data_path,
	    k->facts.grace_ms);

	return r == 0 && waited && !audit_handout(k, &who) ? -EIO : r;
}

bool
user_containers_found(struct user_containers *u, const struct engine_list_item *item)
{
	struct facts facts = { .user = "" };
	struct kept *k = NULL;
	struct comeback comeback;
	bool waited;
	int r;

	/* Later, what is not known is what was ended and is not gone yet. */
	if (u->all_found || strcmp(item->state, "running") != 0 ||
	    !read_labels(u->broker, item, &facts) ||
	    keep_mark_find(u->broker->config->state_dir, item->name) == KEEP_MARK_ENDED)
		return false;
	if (is_wanted(u, &facts, &comeback) && data_path_may_be_found(u->broker, item->name))
		k = place_for(u, &facts, comeback.memory, &waited);
	if (k == NULL)
		return false;
	log_info("container=%s user=%s of an earlier run is found again", item->name, facts.user);
	r = take_over(k, item, comeback.data_path, waited);
	k->mark = keep_mark_find(state_dir(k), item->name);
	if (r < 0) {
		log_warn("container=%s cannot be gone on with: %s", item->name, strerror(-r));
		container_fail(k->container, CONTAINER_NOT_FOUND_AGAIN);
	} else if (container_owners(k->container) > 0) {
		stop_waiting(k);
	} else if (time_left(k) == 0) {
		container_end(k->container);
	} else {
		wait_for_user(k, time_left(k));
	}
	return true;
}

static bool
has_container(void *arg, const char *name)
{
	const struct user_containers *u = arg;

	return container_set_has(u->broker->containers, name);
}

void
user_containers_all_found(struct user_containers *u)
{
	struct kept *k;
	struct kept *next;

	if (u->all_found)
		return;
	u->all_found = true;
	keep_mark_sweep(u->broker->config->state_dir, has_container, u);
	for (k = TAILQ_FIRST(&u->list); k != NULL; k = next) {
		struct policy_grant *grant = k->waiting;
		int r;

		next = TAILQ_NEXT(k, link);
		if (grant == NULL)
			continue;
		k->waiting = NULL;
		r = launch(k, grant, k->connection);
		policy_grant_unref(grant);
		if (r < 0) {
			log_error("connection=%s cannot make a container: %s", k->connection,
			    strerror(-r));
			container_fail(k->container, CONTAINER_NOT_STARTED);
		} else if (container_down_text(k->container) != NULL) {
			/* Down from its beginning, and those who wait were told that it is on its way. */
			container_tell_down(k->container);
		}
	}
}

void
user_containers_not_found(struct user_containers *u)
{
	struct kept *k;
	struct kept *next;

	for (k = TAILQ_FIRST(&u->list); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (k->waiting == NULL)
			continue;
		k->waiting = policy_grant_unref(k->waiting);
		container_fail(k->container, CONTAINER_ENGINE_AWAY);
	}
}

/* ---- what else ends them ---- */

void
user_containers_policy_changed(struct user_containers *u)
{
	struct comeback comeback;
	struct kept *k;
	struct kept *next;

	for (k = TAILQ_FIRST(&u->list); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (!is_wanted(u, &k->facts, &comeback))
			retire(k, "is not what the policy says now");
	}
}

unsigned
user_containers_end(struct user_containers *u, const char *user)
{
	struct kept *k;
	struct kept *next;
	unsigned n = 0;

	for (k = TAILQ_FIRST(&u->list); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (strcmp(k->facts.user, user) != 0)
			continue;
		n++;
		retire(k, "was ended by the administrator");
	}
	return n;
}

void
user_containers_stop(struct user_containers *u)
{
	struct kept *k;
	struct kept *next;

	for (k = TAILQ_FIRST(&u->list); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (container_owners(k->container) == 0 && !container_can_stay(k->container))
			container_end(k->container);
	}
}

unsigned
user_containers_staying(const struct user_containers *u)
{
	const struct kept *k;
	unsigned n = 0;

	if (u == NULL)
		return 0;
	TAILQ_FOREACH(k, &u->list, link)
	{
		n += container_owners(k->container) == 0 && container_can_stay(k->container);
	}
	return n;
}

void
user_containers_visit(const struct user_containers *u,
    void (*visit)(const struct user_containers_view *view, void *arg), void *arg)
{
	int64_t now = clock_now_ms();
	const struct kept *k;

	TAILQ_FOREACH(k, &u->list, link)
	{
		struct user_containers_view view = {
			.user = k->facts.user,
			.profile = k->facts.profile,
			.container = k->container,
			.sessions = container_owners(k->container),
			.left_ms = k->end_at == 0 ? -1
			    : k->end_at > now     ? k->end_at - now
						  : 0,
			.retired = k->retired,
		};

		visit(&view, arg);
	}
}

int
user_containers_new(struct broker *b, struct user_containers **ret)
{
	struct user_containers *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return -ENOMEM;
	u->broker = b;
	TAILQ_INIT(&u->list);
	*ret = u;
	return 0;
}

void
user_containers_free(struct user_containers *u)
{
	struct kept *k;

	if (u == NULL)
		return;
	while ((k = TAILQ_FIRST(&u->list)) != NULL)
		free_kept(k);
	free(u);
}
