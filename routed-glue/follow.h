/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How one agent's stream of events is followed: whether what we hold is its
 * current set, when to ask for a snapshot, and when its lease has run out.
 *
 *	          ask                    snapshot
 *	empty ----------> empty, asked ------------> synced <---+
 *	  ^                                            |  |      | snapshot
 *	  |                       gap, unknown version |  +------+ change, heartbeat
 *	  |                                            v
 *	  +---- lease without confirmation ------- doubtful (set kept, asked)
 *
 * Pure: time is a parameter (monotonic milliseconds).  Must not know of
 * prefixes, sockets or protobuf.  ACT-3.
 */
#ifndef TURNOUT_ROUTED_GLUE_FOLLOW_H
#define TURNOUT_ROUTED_GLUE_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

/* An unanswered request is given up after this long. */
#define FOLLOW_RETRY_MS 500
/* Heartbeats come every 250 ms.  In a longer silence the agent may have been
 * replaced by one whose sequence number happens to fit. */
#define FOLLOW_QUIET_MS 350
/* Who looks so long after a lease's end did not run meanwhile, and has heard nobody: what agents said waits
 * unread.  They get this long to be heard, once until they are. */
#define FOLLOW_LATE_MS   100
#define FOLLOW_EXCUSE_MS 500

/* All zero is a valid start. */
struct follow {
	uint64_t version;       /* of the set held; meaningful while held */
	uint64_t heard_version; /* latest in the event stream */
	uint64_t seq;           /* latest event's; meaningful while seq_known */
	uint64_t confirmed_ms;  /* when the set held was last known to be the agent's */
	uint64_t excused_ms;    /* until then its lease does not run out; 0: not excused since it was confirmed */
	uint64_t heard_ms;      /* when anything was last heard */
	uint64_t asked_ms;      /* when the latest request went out */
	uint64_t request;       /* id of the request whose answer is awaited, 0: none */
	uint64_t page_version;  /* while paging */
	bool held;              /* a set of this agent is in force */
	bool synced;            /* and it follows the event stream without a gap */
	bool seq_known;
	bool paging; /* some pages of a snapshot have come, not all */
	bool heard;  /* at all */
};

/* What an event asks the caller to do. */
enum follow_event {
	FOLLOW_NOTHING,
	FOLLOW_APPLY, /* apply the change to the set held */
	FOLLOW_ASK,   /* send a request for a snapshot, then follow_asked() */
};

enum follow_event follow_heartbeat(struct follow *f, uint64_t seq, uint64_t version, uint64_t now_ms);
enum follow_event follow_change(struct follow *f, uint64_t seq, uint64_t version, uint64_t now_ms);
/* An event of a kind unknown here: only its sequence number counts. */
enum follow_event follow_other(struct follow *f, uint64_t seq, uint64_t now_ms);

/* A request with this id (not 0) was sent; answers to earlier ones are void. */
void follow_asked(struct follow *f, uint64_t id, uint64_t now_ms);

/* What an answer asks the caller to do. */
enum follow_answer {
	FOLLOW_IGNORE,      /* late, or older than what is held */
	FOLLOW_MORE,        /* stage this page, ask for the next */
	FOLLOW_COMMIT,      /* stage this page, put the whole in force */
	FOLLOW_COMMIT_ASK,  /* the same, and ask again: the set has moved on meanwhile */
	FOLLOW_DISCARD_ASK, /* pages of different versions: drop them, ask from the start */
};
enum follow_answer follow_answer(struct follow *f, uint64_t id, uint64_t version, bool more, uint64_t now_ms);
/* The agent answered that it cannot. */
void follow_refused(struct follow *f, uint64_t id, uint64_t now_ms);

/* Has the lease of the set held run out, and were we there to see it?  Then it is no longer held, and the
 * caller withdraws it. */
bool follow_expired(struct follow *f, uint32_t lease_ms, uint64_t now_ms);
/* When to look next with follow_expired(); UINT64_MAX: nothing is held. */
uint64_t follow_deadline(const struct follow *f, uint32_t lease_ms);

/* Is the agent heard and no answer awaited, so that a precautionary snapshot may be asked for? */
bool follow_may_refresh(const struct follow *f, uint32_t lease_ms, uint64_t now_ms);

/* "synced", "doubtful", "silent" or "unknown" (never heard). */
const char *follow_state(const struct follow *f);

#endif
