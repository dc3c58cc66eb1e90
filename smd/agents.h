/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agents a manager knows: where each speaks from, what it cannot do, what
 * it still has to be shown, and how much was exchanged with it.
 *
 * Agents have small stable numbers, by which flows remember who was told of
 * them (SM-9).  A number is used again after its agent was forgotten.
 *
 * Pure: time is a parameter.  Must not know of sockets, flows or services.
 */
#ifndef TURNOUT_SMD_AGENTS_H
#define TURNOUT_SMD_AGENTS_H

#include <uthash.h>

#include "lib/log.h"
#include "lib/peer.h"
#include "proto/wire.h"

#define AGENT_SILENT_MS 35000u  /* three hellos and a half were missed */
#define AGENT_FORGET_MS 600000u /* silent for so long: its place is free */
#define AGENT_SHOWN     UINT32_MAX

struct agent {
	struct endpoint_peer peer;
	uint16_t number;
	bool used;
	bool said_silent;             /* its silence was told */
	char name[WIRE_MAX_NAME + 1]; /* as it names itself; empty: not heard yet */
	uint64_t heard_ms;
	uint64_t punts, refreshes, denies; /* received from it */
	uint64_t fixed, wildcards;         /* updates sent to it */
	uint32_t lacks;                    /* wire_bit() of actions missing in its hello */
	uint32_t denied;                   /* the same of its denies, since its last restart (ACT-9) */
	uint32_t show_next;                /* number of the wildcard to show next, or AGENT_SHOWN */
	uint64_t shown_ms;                 /* when showing last began; 0: never */
	uint64_t no_room_until_ms;         /* until then it is not asked to store anything new */
	uint32_t no_room_ms;               /* the length of the last such time; doubles */
	struct log_limit log;
	UT_hash_handle hh;
};

struct agents;

/* limit: agents, 1 to 65535.  NULL: no memory. */
struct agents *agents_new(uint16_t limit);
void agents_free(struct agents *as);

struct agent *agents_find(const struct agents *as, uint64_t identity);
/*
 * Find it, or make it; note that it was heard, and from where.  *made says
 * which.  When there is no place, the agent silent for longest loses its own,
 * if it is silent at all.  NULL: no place.
 */
struct agent *agents_heard(struct agents *as, const struct endpoint_peer *peer, uint64_t now_ms, bool *made);
void agents_forget(struct agents *as, struct agent *a);
/* Forget who was silent for AGENT_FORGET_MS. */
void agents_expire(struct agents *as, uint64_t now_ms);

/* By number; NULL: nobody. */
struct agent *agents_number(const struct agents *as, uint16_t number);
/* The first at or after *number; *number is moved behind it.  NULL: no more. */
struct agent *agents_next(const struct agents *as, uint32_t *number);
uint32_t agents_count(const struct agents *as);

static inline bool agent_silent(const struct agent *a, uint64_t now_ms)
{
	return now_ms - a->heard_ms > AGENT_SILENT_MS;
}
/* Actions it cannot do, as wire_bit()s. */
static inline uint32_t agent_cannot(const struct agent *a)
{
	return a->lacks | a->denied;
}
/* Its name, or its identity in hex, in buf. */
const char *agent_name(const struct agent *a, char buf[WIRE_MAX_NAME + 1]);
/* Take in a hello's name and list of actions; needed: those that matter here.
 * Returns whether what it cannot do has changed. */
bool agent_hello(struct agent *a, const struct wire_msg *hello, uint32_t needed);
/* It has no room: leave it alone for a while, longer each time. */
void agent_no_room(struct agent *a, uint64_t now_ms);
/* May it be asked to store something new? */
static inline bool agent_has_room(const struct agent *a, uint64_t now_ms)
{
	return now_ms >= a->no_room_until_ms;
}

#endif
