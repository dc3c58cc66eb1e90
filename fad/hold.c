/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Held packets.  See hold.h.
 */
/* Without OOM aborts inside uthash: a failed insertion leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include "fad/hold.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "lib/hash.h"

struct hold {
	struct hold_limits limits;
	uint64_t hash_key[2];
	struct held_flow *flows; /* hash */
	struct held_flow *queue; /* by time of the latest punt */
	uint64_t bytes;
	size_t most_flows;
	uint64_t most_bytes;
};

struct hold *hold_new(const struct hold_limits *limits, const uint64_t hash_key[2])
{
	struct hold *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->limits = *limits;
	memcpy(h->hash_key, hash_key, sizeof(h->hash_key));
	return h;
}

void hold_free(struct hold *h)
{
	if (!h)
		return;
	while (h->queue) {
		struct held_packet *p = hold_release(h, h->queue);

		while (p) {
			struct held_packet *next = p->next;

			free(p);
			p = next;
		}
	}
	free(h);
}

static unsigned key_hash(const struct hold *h, const struct flow_key *k)
{
	return (unsigned)hash_bytes(h->hash_key, k, sizeof(*k));
}

struct held_flow *hold_find(const struct hold *h, const struct flow_key *k)
{
	struct held_flow *f;

	HASH_FIND_BYHASHVALUE(hh, h->flows, k, sizeof(*k), key_hash(h, k), f);
	return f;
}

struct held_flow *hold_begin(struct hold *h, const struct flow_key *k, uint64_t now_ms)
{
	struct held_flow *f;

	if (HASH_COUNT(h->flows) >= h->limits.flows)
		return NULL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->key = *k;
	f->since_ms = now_ms;
	f->tries = 1;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, h->flows, &f->key, sizeof(f->key), key_hash(h, k), f);
	if (!f->hh.tbl) {
		free(f);
		return NULL;
	}
	DL_APPEND(h->queue, f);
	if (HASH_COUNT(h->flows) > h->most_flows)
		h->most_flows = HASH_COUNT(h->flows);
	return f;
}

static uint64_t cost(const struct held_packet *p)
{
	return sizeof(*p) + p->p.len;
}

struct held_packet *held_packet_new(const struct packet *p, uint64_t mark)
{
	struct held_packet *held = malloc(sizeof(*held) + p->len);

	if (!held)
		return NULL;
	held->next = NULL;
	held->mark = mark;
	held->told = held->asked = 0;
	held->p = *p;
	held->p.data = held->bytes;
	memcpy(held->bytes, p->data, p->len);
	return held;
}

bool hold_push(struct hold *h, struct held_flow *f, const struct packet *p, uint64_t mark)
{
	struct held_packet *held;

	if (f->count >= h->limits.packets || h->bytes + sizeof(*held) + p->len > h->limits.bytes)
		return false;
	held = held_packet_new(p, mark);
	if (!held)
		return false;
	if (f->last)
		f->last->next = held;
	else
		f->first = held;
	f->last = held;
	f->count++;
	h->bytes += cost(held);
	if (h->bytes > h->most_bytes)
		h->most_bytes = h->bytes;
	return true;
}

struct held_packet *hold_release(struct hold *h, struct held_flow *f)
{
	struct held_packet *first = f->first;

	for (struct held_packet *p = first; p; p = p->next) {
		h->bytes -= cost(p);
		p->asked = f->asked_rank;
	}
	HASH_DELETE(hh, h->flows, f);
	DL_DELETE(h->queue, f);
	free(f);
	return first;
}

struct held_flow *hold_oldest(const struct hold *h)
{
	return h->queue;
}

size_t hold_flows(const struct hold *h)
{
	return HASH_COUNT(h->flows);
}

uint64_t hold_bytes(const struct hold *h)
{
	return h->bytes;
}

size_t hold_most_flows(const struct hold *h)
{
	return h->most_flows;
}

uint64_t hold_most_bytes(const struct hold *h)
{
	return h->most_bytes;
}
