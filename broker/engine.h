/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container engine, as typed calls. Runs in the broker, on its event loop, and never blocks.
 *
 * Rules of every call:
 *   - The starting function returns 0 and the callback comes later, from the event loop, exactly once;
 *     or it returns -errno and there is no callback. -EINVAL: an argument that cannot be sent;
 *     -EBUSY: max_calls are under way.
 *   - Every call has a deadline. The result and all it points to live until the callback returns.
 *   - engine_cancel() takes the handle of a call whose callback has not come yet; none comes then.
 *     Calls that change something go on in the engine (they may already have happened); a container
 *     that a cancelled call made is removed again.
 *   - Callbacks may start and cancel calls. They must not call engine_free().
 *   - Nothing that changes something is ever sent twice.
 *   - done may be NULL, for what is done whatever comes of it.
 *
 * What the engine sends is hostile: bounded, typed and checked before a callback sees it.
 */
#ifndef SP_ENGINE_H
#define SP_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "engine_spec.h"

struct event_base;
struct engine;
struct engine_call;

#define ENGINE_API_MIN    41u /* 1.41, Docker 20.10 */
#define ENGINE_API_MAX    44u /* 1.44: what we were written against; newer engines serve it */
#define ENGINE_REASON_MAX 512

/*
 * Podman is told apart by a header of its own. Its compatible API cannot be asked for all that we want, and its
 * account of a container says less: containers are made with its own API, and once they run, the kernel is asked
 * how they are confined (kernel_account.h). Who claims to be Podman gains nothing by it.
 */
#define ENGINE_PODMAN_PATH "/v4.0.0/libpod" /* in front of a path of Podman's own API */
/* What is different with it, for people. */
#define ENGINE_PODMAN_SENTENCE                                                                      \
	"the kernel is asked how its containers are confined; it has no data path \"engine\", and " \
	"/etc/hosts in containers is the image's"
#define ENGINE_PODMAN_UNSEEN                                                                       \
	"the engine is Podman, and what the kernel says of its containers is not seen (PODMAN in " \
	"sallyport-broker.json(5) says more)"
#define ENGINE_PODMAN_ROOTLESS \
	"the engine is a rootless Podman, which is not supported: its socket is not root's"

enum engine_error {
	ENGINE_OK = 0,
	ENGINE_E_UNREACHABLE, /* no connection, or it ended before the answer was complete */
	ENGINE_E_TIMEOUT,     /* no answer in time */
	ENGINE_E_UNHEALTHY,   /* not even asked: the engine failed its last probe or start */
	ENGINE_E_BUSY,        /* too many calls are waiting already, or this one for too long */
	ENGINE_E_VERSION,     /* the engine is too old for us, or a Podman that cannot be used */
	ENGINE_E_NO_IMAGE,    /* create: the image is not there (nothing is ever pulled) */
	ENGINE_E_NOT_FOUND,   /* 404 otherwise */
	ENGINE_E_CONFLICT,    /* 409: name taken, not running, removal in progress */
	ENGINE_E_REFUSED,     /* another 4xx; the sentence has the engine's own words */
	ENGINE_E_FAILED,      /* 5xx, the same */
	ENGINE_E_BROKEN,      /* not HTTP, not JSON, not what was asked for, or far too long */
	ENGINE_E_DIFFERENT,   /* launch: the container is not what was asked for; it is removed */
	ENGINE_E_NO_MEMORY,
};

/* A short name for logs and metrics: "timeout". */
const char *engine_error_name(enum engine_error error);

/* Nothing is wrong with what was asked for: the same may work when the engine answers again. */
static inline bool
engine_is_away(enum engine_error error)
{
	return error == ENGINE_E_UNREACHABLE || error == ENGINE_E_TIMEOUT ||
	    error == ENGINE_E_UNHEALTHY || error == ENGINE_E_BUSY;
}

struct engine_result {
	enum engine_error error;
	const char *sentence; /* for the log, not for users; printable ASCII; "" when all is well */
	/* launch, create: the container. launch, create that failed: "". image: the image's hex id. */
	const char *id;
	const char *warning; /* create, launch: the engine's first warning, escaped, or "" */
	/* inspect; launch: as it was right after its start, with the pid. Else NULL. */
	const struct engine_container *container;
	const struct engine_list_item *items; /* list */
	size_t n_items;
	const struct engine_info *info; /* info; else NULL */
	int64_t exit_code;              /* wait */
	int *stream; /* exec start: the connection, for the callee to take with fd_steal(); else NULL */
};

typedef void engine_done_fn(void *arg, const struct engine_result *result);

enum engine_health {
	ENGINE_HEALTH_UNKNOWN, /* before the first probe has ended: calls are tried */
	ENGINE_HEALTHY,
	ENGINE_UNHEALTHY, /* new starts fail at once; everything else is still tried */
};

/* Called from the event loop after a change. reason is "" when healthy. No engine_free() inside. */
typedef void engine_health_fn(void *arg, enum engine_health health, const char *reason);

/* What the configuration has is not 0. The numbers are the defaults of the others, which 0 stands for. */
struct engine_options {
	const char *socket;          /* absolute or relative path, copied */
	uint32_t call_timeout_ms;    /* configured; most calls */
	uint32_t start_timeout_ms;   /* configured; the start itself, and the wait before */
	uint32_t probe_interval_ms;  /* configured */
	uint32_t probe_timeout_ms;   /* 2000 */
	uint32_t max_starts;         /* configured; launches in flight. More only adds latency */
	uint32_t turn_ms;            /* 10000; so long a launch holds up the next one */
	uint32_t exec_turn_ms;       /* 2000; so long an exec does, or its start */
	uint32_t max_queued;         /* 1024; launches waiting, and as many execs */
	uint32_t max_calls;          /* 4096; everything together but waits */
	const char *no_podman;       /* why a Podman cannot be used; copied. NULL: it can */
	engine_health_fn *on_health; /* may be NULL */
	void *on_health_arg;
};

/* base is borrowed. Nothing is sent before the event loop runs. 0, -EINVAL or -errno. */
SP_MUST_CHECK int engine_new(struct event_base *base, const struct engine_options *options,
    struct engine **ret);
/* Ends every call without callback. NULL is fine; always returns NULL. */
struct engine *engine_free(struct engine *e);

/*
 * Create, read back and compare, start, read the pid: the whole way to a running container. Waits its
 * turn when max_starts are in flight, in rounds of the owners and in each first come first served, but does not wait for
 * those that take longer than turn_ms: what makes one hang (an image can) holds up nobody but its owner, who has turns as
 * long as fewer than max_starts of theirs do, and from 8 * max_starts on everybody. When it fails or is cancelled on the
 * way, the container is removed, as with engine_discard(). spec is copied.
 */
SP_MUST_CHECK int engine_launch(struct engine *e, const struct engine_container_spec *spec,
    engine_done_fn *done, void *arg, struct engine_call **ret_call);

/* The single steps. id: an id, or a name that we gave. ret_call may be NULL everywhere. */
SP_MUST_CHECK int engine_create(struct engine *e, const struct engine_container_spec *spec,
    engine_done_fn *done, void *arg, struct engine_call **ret_call);
/* At once: it is engine_launch() that waits its turn. */
SP_MUST_CHECK int engine_start(struct engine *e, const char *id, engine_done_fn *done, void *arg,
    struct engine_call **ret_call);
SP_MUST_CHECK int engine_inspect(struct engine *e, const char *id, engine_done_fn *done, void *arg,
    struct engine_call **ret_call);
/* signal: 1..64. ENGINE_E_CONFLICT: it does not run. */
SP_MUST_CHECK int engine_kill(struct engine *e, const char *id, int signal, engine_done_fn *done,
    void *arg, struct engine_call **ret_call);
/* Running or not, with the anonymous volumes of its image. */
SP_MUST_CHECK int engine_remove(struct engine *e, const char *id, engine_done_fn *done, void *arg,
    struct engine_call **ret_call);
/* Until it does not run, or for timeout_ms; 0: as long as most calls may take. */
SP_MUST_CHECK int engine_wait(struct engine *e, const char *id, uint32_t timeout_ms,
    engine_done_fn *done, void *arg, struct engine_call **ret_call);
/* All containers, running or not, with this label; value NULL: whatever its value. */
SP_MUST_CHECK int engine_list(struct engine *e, const char *label, const char *value,
    engine_done_fn *done, void *arg, struct engine_call **ret_call);
/*
 * One more process in a container that runs. Four for each of max_starts are made or started at a time; those that are
 * still to be made wait their turn, in rounds of the owners, for start_timeout_ms at most. One that takes longer than
 * exec_turn_ms is not counted any more; its owner has turns as long as fewer of theirs are like that than are made or
 * started at a time, and eight times as many hold up everybody. Made, its id is the result's; started, the result has the
 * stream of its three standard streams, framed as the API says. A process whose start is cancelled reads the end of its
 * stream; one that was made for nobody is started for that.
 */
SP_MUST_CHECK int engine_exec_create(struct engine *e, const char *id,
    const struct engine_exec_spec *spec, engine_done_fn *done, void *arg,
    struct engine_call **ret_call);
SP_MUST_CHECK int engine_exec_start(struct engine *e, const char *exec_id, const char *owner,
    engine_done_fn *done, void *arg, struct engine_call **ret_call);
/* Whether the image is there: ENGINE_OK or ENGINE_E_NO_IMAGE. */
SP_MUST_CHECK int engine_image_inspect(struct engine *e, const char *image, engine_done_fn *done,
    void *arg, struct engine_call **ret_call);
/* What the engine says of itself and of its host. */
SP_MUST_CHECK int engine_info(struct engine *e, engine_done_fn *done, void *arg,
    struct engine_call **ret_call);

/*
 * Remove the container, running or not, and keep trying while the engine is away. Nobody is told;
 * failure for good is logged. What is still pending is forgotten by engine_free(): the clean-up by
 * label at the next start finds it. 0 or -errno.
 */
SP_MUST_CHECK int engine_discard(struct engine *e, const char *id);
/* Whether that has been asked for, by id or name, and is not done yet. */
bool engine_discards(const struct engine *e, const char *id);

/* The call of this handle ends without callback. NULL is fine. */
void engine_cancel(struct engine_call *call);

enum engine_health engine_health(const struct engine *e);
/* Why it is unhealthy, printable ASCII, or "". */
const char *engine_health_reason(const struct engine *e);

/* Podman's version, when the engine is one; NULL: it is Docker's, or not known yet. */
const char *engine_podman(const struct engine *e);

struct engine_counts {
	unsigned calls;      /* everything under way but waits for the ends of containers */
	unsigned queued;     /* launches waiting */
	unsigned starting;   /* launches in flight */
	unsigned in_turn;    /* of these: that hold up others */
	bool wanted;         /* one waits that may have a turn */
	unsigned discarding; /* containers to be removed */
	unsigned absent; /* of these: not there so far; a create that was given up may still bring them */
	unsigned retried; /* of these: the engine has not removed them so far, and is not asked just now */
	uint64_t requests;    /* sent since engine_new() */
	uint64_t connections; /* opened since engine_new() */
	uint64_t failures; /* of the requests: no answer, in time or at all, or none that makes sense */
	unsigned api_minor; /* negotiated 1.x, 0 before */
};
struct engine_counts engine_counts(const struct engine *e);

#endif
