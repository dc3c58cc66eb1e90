/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agents a manager knows; see agents.h.  Must not know of sockets, flows
 * or services.
 */
#include "smd/agents.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define NO_ROOM_FIRST_MS 1000u
#define NO_ROOM_MOST_MS  32000u

struct agents {
	struct agent *all;
	struct agent *by_identity; /* uthash head */
	uint32_t limit, count;
	uint32_t highest; /* places ever used */
};

struct agents *agents_new(uint16_t limit)
{
	struct agents *as = calloc(1, sizeof(*as));

	if (!as)
		return NULL;
	as->limit = limit;
	as->all = calloc(limit, sizeof(*as->all));
	if (!as->all) {
		free(as);
		return NULL;
	}
	return as;
}

void agents_free(struct agents *as)
{
	if (!as)
		return;
	HASH_CLEAR(hh, as->by_identity);
	free(as->all);
	free(as);
}

struct agent *agents_find(const struct agents *as, uint64_t identity)
{
	struct agent *a;

	HASH_FIND(hh, as->by_identity, &identity, sizeof(identity), a);
	return a;
}

void agents_forget(struct agents *as, struct agent *a)
{
	assert(as->by_identity); /* what is used is in it */
	HASH_DELETE(hh, as->by_identity, a);
	a->used = false;
	as->count--;
}

/* A free place, or that of the one silent for longest. */
static struct agent *find_place(struct agents *as, uint64_t now_ms)
{
	struct agent *oldest = NULL;

	if (as->highest < as->limit)
		return &as->all[as->highest++];
	for (uint32_t i = 0; i < as->limit; i++) {
		struct agent *a = &as->all[i];

		if (!a->used)
			return a;
		if (!oldest || a->heard_ms < oldest->heard_ms)
			oldest = a;
	}
	if (!oldest || !agent_silent(oldest, now_ms))
		return NULL;
	agents_forget(as, oldest);
	return oldest;
}

struct agent *agents_heard(struct agents *as, const struct endpoint_peer *peer, uint64_t now_ms, bool *made)
{
	struct agent *a = agents_find(as, peer->identity);

	*made = !a;
	if (!a) {
		a = find_place(as, now_ms);
		if (!a)
			return NULL;
		*a = (struct agent){.used = true, .number = (uint16_t)(a - as->all), .show_next = AGENT_SHOWN};
		a->peer.identity = peer->identity;
		HASH_ADD(hh, as->by_identity, peer.identity, sizeof(a->peer.identity), a);
		as->count++;
	}
	a->peer = *peer;
	a->heard_ms = now_ms;
	return a;
}

void agents_expire(struct agents *as, uint64_t now_ms)
{
	for (uint32_t i = 0; i < as->highest; i++)
		if (as->all[i].used && now_ms - as->all[i].heard_ms > AGENT_FORGET_MS)
			agents_forget(as, &as->all[i]);
}

struct agent *agents_number(const struct agents *as, uint16_t number)
{
	return number < as->highest && as->all[number].used ? &as->all[number] : NULL;
}

struct agent *agents_next(const struct agents *as, uint32_t *number)
{
	while (*number < as->highest) {
		struct agent *a = &as->all[(*number)++];

		if (a->used)
			return a;
	}
	return NULL;
}

uint32_t agents_count(const struct agents *as)
{
	return as->count;
}

const char *agent_name(const struct agent *a, char buf[WIRE_MAX_NAME + 1])
{
	if (a->name[0])
		return a->name;
	snprintf(buf, WIRE_MAX_NAME + 1, "0x%llx", (unsigned long long)a->peer.identity);
	return buf;
}

bool agent_hello(struct agent *a, const struct wire_msg *hello, uint32_t needed)
{
	uint32_t before = agent_cannot(a), can = 0;

	for (int i = 0; i < hello->list.count; i++)
		can |= wire_bit(hello->list.types[i]);
	a->lacks = needed & ~can;
	snprintf(a->name, sizeof(a->name), "%s", hello->identity.name);
	return agent_cannot(a) != before;
}

void agent_no_room(struct agent *a, uint64_t now_ms)
{
	uint64_t quiet_ms = now_ms - a->no_room_until_ms;

	if (!agent_has_room(a, now_ms)) /* an answer to what was sent before */
		return;
	if (!a->no_room_ms || quiet_ms > NO_ROOM_MOST_MS)
		a->no_room_ms = NO_ROOM_FIRST_MS;
	else if (a->no_room_ms < NO_ROOM_MOST_MS)
		a->no_room_ms *= 2;
	a->no_room_until_ms = now_ms + a->no_room_ms;
}
