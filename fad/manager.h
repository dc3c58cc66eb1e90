/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an agent knows of one manager.  Lives as long as an affinity refers to
 * it.  Pure values.  MSG-13, FA-4.
 */
#ifndef TURNOUT_FAD_MANAGER_H
#define TURNOUT_FAD_MANAGER_H

#include <uthash.h>

#include "lib/peer.h"
#include "proto/wire.h"

/* How many denies went out in the current second (MSG-14). */
struct deny_limit {
	uint64_t window_ms; /* its start */
	uint32_t sent;
};

/* Questions in a row that had no answer in time. */
struct answer_row {
	uint32_t unanswered;
	uint64_t since_ms; /* when the first of them was asked */
};

struct manager {
	struct endpoint_peer peer; /* where it last spoke from */
	uint64_t incarnation;
	struct wire_identity identity; /* as it names itself; addr.family 0 if it did not */
	uint64_t heard_ms;
	uint32_t wildcards, fixed; /* affinities held */
	uint64_t matches;          /* messages sent to it */
	uint64_t denied, timeouts; /* its updates refused; questions to it without an answer in time */
	struct answer_row row;     /* of all questions to it */
	uint32_t silent_wildcards; /* of its wildcards: those under which it does not answer */
	struct deny_limit denies;
	uint32_t longest_ttl_s; /* of its wildcards, when last looked */
	bool silent;            /* when last looked */
	UT_hash_handle hh;      /* by peer.identity */
};

/* A manager that let pass this much of its longest TTL, or this long without any, is silent. */
#define MANAGER_SILENT_TTL_TENTHS  7
#define MANAGER_SILENT_WITHOUT_TTL 30000

static inline bool manager_is_silent(const struct manager *m, uint32_t longest_ttl_s, uint64_t now_ms)
{
	uint64_t patience = (uint64_t)longest_ttl_s * 100 * MANAGER_SILENT_TTL_TENTHS;

	return now_ms - m->heard_ms > (patience ? patience : MANAGER_SILENT_WITHOUT_TTL);
}

/* Its name, or its identity in hex, in buf. */
const char *manager_name(const struct manager *m, char buf[WIRE_MAX_NAME + 1]);

#endif
