/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The glue's reasoning: what agents say goes in, operations on the kernel's
 * table come out.  Ties follow, wanted and diff together, and counts.
 *
 * Pure: time is a parameter (monotonic milliseconds).  Must not know of
 * sockets, protobuf or netlink.  ACT-3, FA-11.
 */
#ifndef TURNOUT_ROUTED_GLUE_GLUE_H
#define TURNOUT_ROUTED_GLUE_GLUE_H

#include "routed-glue/diff.h"
#include "routed-glue/follow.h"
#include "routed-glue/wanted.h"

#define GLUE_STOP_HOLD_MAX_MS 600000 /* no agent is waited for longer, whatever it says */

enum glue_counter {
	GLUE_EVENTS,          /* from agents */
	GLUE_SNAPSHOTS,       /* put in force */
	GLUE_LEASES_EXPIRED,  /* an agent's set withdrawn because it was silent */
	GLUE_STOPS,           /* planned stops of agents */
	GLUE_HOLDS_EXPIRED,   /* what a stopped agent had kept withdrawn because it was not back in time */
	GLUE_BAD_PREFIX,      /* an agent named something that may not be announced */
	GLUE_NO_ROOM,         /* more prefixes than configured */
	GLUE_ADDED,           /* routes put into the kernel */
	GLUE_DELETED,         /* routes taken out */
	GLUE_REFUSED,         /* attempts the kernel refused */
	GLUE_AUDITS,          /* comparisons with the kernel's table */
	GLUE_MISSING,         /* routes found gone */
	GLUE_UNEXPECTED,      /* routes found that nobody had put there */
	GLUE_REPAIRS,         /* the device was down, gone, renamed or without its address */
	GLUE_KERNEL_ERRORS,   /* requests to the kernel that failed as a whole */
	GLUE_FRR_AUDITS,      /* comparisons with FRR's table */
	GLUE_FRR_HEALED,      /* routes put in again because FRR did not have them, or ghosts taken out */
	GLUE_FRR_UNREACHABLE, /* FRR could not be asked */
	GLUE_COUNTERS,
};

struct glue_conf {
	size_t agents; /* at most WANTED_AGENTS_MAX */
	uint32_t lease_ms;
	uint32_t metric;
	struct wanted_limits limits;
};

struct glue;

/* NULL: out of memory. */
struct glue *glue_new(const struct glue_conf *conf);
void glue_free(struct glue *g);

/* ---- what agents say ---- */

/* Text as it came; borrowed during the call. */
struct glue_prefixes {
	char *const *text;
	size_t count;
};

/* What the caller is to send to the agent, followed by glue_asked(). */
struct glue_ask {
	bool ask;
	uint64_t cursor; /* 0: from the start */
};

struct glue_ask glue_heartbeat(struct glue *g, unsigned agent, uint64_t seq, uint64_t version, uint64_t now_ms);
struct glue_ask glue_change(struct glue *g, unsigned agent, uint64_t seq, uint64_t version, struct glue_prefixes add,
			    struct glue_prefixes remove, uint64_t now_ms);
/* The agent stops as planned.  hold_ms 0: withdraw its set now; else keep it that
 * long, or until the agent is back with all of it (FA-6). */
struct glue_ask glue_stopping(struct glue *g, unsigned agent, uint64_t seq, uint64_t hold_ms, uint64_t now_ms);
/* An event of a kind unknown here. */
struct glue_ask glue_other(struct glue *g, unsigned agent, uint64_t seq, uint64_t now_ms);

/* One page of a snapshot; next: where it goes on, 0 for the last. */
struct glue_ask glue_page(struct glue *g, unsigned agent, uint64_t id, uint64_t version, uint64_t next,
			  struct glue_prefixes prefixes, uint64_t now_ms);
void glue_refused(struct glue *g, unsigned agent, uint64_t id, uint64_t now_ms);

/* The request with this id was sent. */
void glue_asked(struct glue *g, unsigned agent, uint64_t id, uint64_t cursor, uint64_t now_ms);
/* Should a snapshot be asked for as a precaution? */
bool glue_may_refresh(const struct glue *g, unsigned agent, uint64_t now_ms);

/* ---- time ---- */

/* Leases, holds, flaps.  Returns when to call again at the latest.  Bit i of
 * *expired: the lease of agent i has run out just now. */
uint64_t glue_step(struct glue *g, uint64_t now_ms, uint64_t *expired);

/* Holds after planned stops that ended since the last call.  Bit i: agent i's. */
struct glue_ended {
	uint64_t back; /* with all it had */
	uint64_t late; /* what it has not claimed again is withdrawn */
};
struct glue_ended glue_ended(struct glue *g);

/* ---- the kernel ---- */

/* Is there, or may there be, something to do?  Then make a plan. */
bool glue_dirty(const struct glue *g);
/* Operations that make the kernel equal to what is announced; *ops is allocated.
 * The plan is void once glue_dirty() again.  -1: out of memory; stays dirty. */
ssize_t glue_plan(struct glue *g, struct route_op **ops);
/* One was acknowledged; returns whether a refusal deserves a line in the log. */
bool glue_result(struct glue *g, const struct route_op *op, int error);
/* The kernel's table was read. */
void glue_loaded(struct glue *g, const struct route *routes, size_t count);
/* Somebody's route on this prefix went away (NULL: anything may have): what was refused is tried again. */
void glue_retry(struct glue *g, const struct prefix *p);

/* ---- for listings ---- */

uint64_t *glue_counters(struct glue *g); /* GLUE_COUNTERS values; the caller may count too */
const struct wanted *glue_wanted(const struct glue *g);
const struct view *glue_view(const struct glue *g);
const struct follow *glue_follow(const struct glue *g, unsigned agent);
size_t glue_agents(const struct glue *g);

/* "installed", "conflict", "failed" (refused otherwise), "wanted" (not there
 * yet), "held" (nobody wants it any more, shortly to go), "kept" (its agent stopped
 * as planned and is to be back), "damped" (it flapped);
 * NULL: an entry that only remembers flaps. */
const char *glue_route_state(const struct glue *g, const struct wanted_prefix *p);

#endif
