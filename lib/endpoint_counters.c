/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The endpoint's counters as names and values: its own, and one for each
 * reason for which the codec, authentication or the session drops a message
 * (MSG-4).  Must not know how they come about.
 */
#include "lib/daemon.h"
#include "lib/endpoint_priv.h"

struct list {
	struct endpoint_counter *out;
	size_t n, cap;
};

static void add(struct list *l, const char *group, const char *name, const char *help, uint64_t value)
{
	if (l->n < l->cap)
		l->out[l->n++] = (struct endpoint_counter){group, name, help, value};
}

static void add_drop(struct list *l, const char *name, const char *help, uint64_t value)
{
	add(l, "message-drops", name, help, value);
}

/* Those of the enums that mean a drop; the names never change, whatever the enums' own texts do. */
struct reason {
	int value;
	const char *name, *help;
};

static const struct reason auth_drops[] = {
	{AUTH_ABSENT, "authentication-absent", "not signed, but a signature is expected"},
	{AUTH_UNKNOWN_KEY, "authentication-unknown-key", "signed with a key we do not have"},
	{AUTH_SCHEME, "authentication-scheme", "signed by another scheme than the key's"},
	{AUTH_IDENTITY, "authentication-identity", "the key is not that sender's"},
	{AUTH_WRONG, "authentication-wrong", "the signature does not fit: another secret, or changed on the way"},
};

static const struct reason session_drops[] = {
	{SESSION_CHALLENGE, "unknown-incarnation", "the sender has to prove first that it lives now"},
	{SESSION_PENDING, "challenge-pending", "the same, and it was asked a moment ago"},
	{SESSION_REPLAY, "replay", "seen before, or too old to tell"},
	{SESSION_NOT_FOR_US, "not-for-us", "for another identity"},
	{SESSION_STALE, "stale-response", "an answer to what we did not ask"},
	{SESSION_FULL, "peers-full", "too many peers"},
};

static const char *const fault_help[WIRE_FAULT_COUNT] = {
	[WIRE_FAULT_SHORT] = "shorter than a header, or than it says",
	[WIRE_FAULT_LONG] = "bytes after the end",
	[WIRE_FAULT_VERSION] = "another protocol version",
	[WIRE_FAULT_TYPE] = "unknown message type",
	[WIRE_FAULT_HEADER] = "impossible header",
	[WIRE_FAULT_TRUNCATED] = "a segment or a field runs past its end",
	[WIRE_FAULT_OVERLONG] = "a segment has bytes left over",
	[WIRE_FAULT_DUPLICATE] = "more of a segment than allowed",
	[WIRE_FAULT_MISSING] = "a segment is missing",
	[WIRE_FAULT_NOT_ALLOWED] = "a segment that the message cannot have",
	[WIRE_FAULT_ORDER] = "segments in the wrong order",
	[WIRE_FAULT_VALUE] = "a value outside its range",
	[WIRE_FAULT_CONTRADICTION] = "fields or segments that exclude each other",
	[WIRE_FAULT_REQUIRED] = "a required segment of unknown type",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

size_t endpoint_counters(const struct endpoint *ep, struct endpoint_counter *out, size_t cap)
{
	static const struct {
		const char *group, *name, *help;
	} own[] = {
#define X(id, group, name, help) {group, name, help},
		ENDPOINT_COUNTERS(X)
#undef X
	};
	struct list l = {out, 0, cap};
	uint64_t now_ms = daemon_now_ms();

	for (size_t i = 0; i < COUNT(own); i++)
		add(&l, own[i].group, own[i].name, own[i].help, ep->counts[i]);
	for (int f = WIRE_OK + 1; f < WIRE_FAULT_COUNT; f++)
		add_drop(&l, wire_fault_name((enum wire_fault)f), fault_help[f], ep->faults[f]);
	for (size_t i = 0; i < COUNT(auth_drops); i++)
		add_drop(&l, auth_drops[i].name, auth_drops[i].help, ep->auth[auth_drops[i].value]);
	for (size_t i = 0; i < COUNT(session_drops); i++)
		add_drop(&l, session_drops[i].name, session_drops[i].help, ep->verdicts[session_drops[i].value]);
	if (ep->group_count > 0)
		add(&l, "now", "group-quiet-seconds", "since another was last heard by a group, or since the start",
		    (now_ms - ep->group_ms) / 1000);
	add(&l, "now", "direct-quiet-seconds", "the same, of messages to our address", (now_ms - ep->direct_ms) / 1000);
	add_drop(&l, "receive-queue-full", "came faster than they were read", endpoint_sockets_missed(ep));
	return l.n;
}
