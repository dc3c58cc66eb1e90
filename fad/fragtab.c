/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragmented datagrams.  See fragtab.h.
 *
 * One entry a datagram, which is either known or has fragments waiting, never
 * both.  Each kind has a queue, oldest first: all of one kind live equally long.
 */
/* Without OOM aborts inside uthash: a failed insertion leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include "fad/fragtab.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "lib/hash.h"

/* No padding. */
struct datagram_key {
	uint8_t family;
	uint8_t proto; /* IPv6: 0 */
	uint16_t zero;
	uint32_t id;
	uint8_t src[16], dst[16];
};
_Static_assert(sizeof(struct datagram_key) == 40, "datagram_key has no padding");

struct datagram {
	struct datagram_key key;
	bool known;
	uint64_t since_ms;
	struct flow_key flow; /* of a known one */
	uint32_t count;       /* of packets waiting */
	struct held_packet *first, *last;
	struct datagram *next, *prev; /* in the queue of its kind */
	UT_hash_handle hh;
};

struct fragtab {
	struct fragtab_limits limits;
	uint64_t hash_key[2];
	struct datagram *all; /* hash */
	struct datagram *known, *waiting;
	struct fragtab_stats stats;
};

struct fragtab *fragtab_new(const struct fragtab_limits *limits, const uint64_t hash_key[2])
{
	struct fragtab *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->limits = *limits;
	memcpy(t->hash_key, hash_key, sizeof(t->hash_key));
	return t;
}

static uint64_t cost(const struct packet *p)
{
	return sizeof(struct held_packet) + p->len;
}

/* Take the datagram out of the table, and its packets out of the datagram. */
static struct held_packet *take(struct fragtab *t, struct datagram *d)
{
	struct held_packet *first = d->first;

	for (const struct held_packet *h = first; h; h = h->next)
		t->stats.bytes -= cost(&h->p);
	t->stats.waiting -= d->count;
	HASH_DELETE(hh, t->all, d);
	if (d->known) {
		DL_DELETE(t->known, d);
		t->stats.datagrams--;
	} else {
		DL_DELETE(t->waiting, d);
	}
	free(d);
	return first;
}

void fragtab_free(struct fragtab *t)
{
	if (!t)
		return;
	while (t->known)
		take(t, t->known);
	while (t->waiting) {
		struct held_packet *h = take(t, t->waiting);

		while (h) {
			struct held_packet *next = h->next;

			free(h);
			h = next;
		}
	}
	free(t);
}

static struct datagram_key key_of(const struct packet *p)
{
	struct datagram_key k = {.family = p->key.family, .id = p->fragment_id};

	if (k.family == 4)
		k.proto = p->key.proto;
	memcpy(k.src, p->key.src, sizeof(k.src));
	memcpy(k.dst, p->key.dst, sizeof(k.dst));
	return k;
}

static struct datagram *find(const struct fragtab *t, const struct datagram_key *k, unsigned *hash)
{
	struct datagram *d;

	*hash = (unsigned)hash_bytes(t->hash_key, k, sizeof(*k));
	HASH_FIND_BYHASHVALUE(hh, t->all, k, sizeof(*k), *hash, d);
	return d;
}

static struct datagram *add(struct fragtab *t, const struct datagram_key *k, unsigned hash, bool known, uint64_t now_ms)
{
	struct datagram *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->key = *k;
	d->known = known;
	d->since_ms = now_ms;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->all, &d->key, sizeof(d->key), hash, d);
	if (!d->hh.tbl) {
		free(d);
		return NULL;
	}
	if (known) {
		DL_APPEND(t->known, d);
		if (++t->stats.datagrams > t->stats.datagrams_high)
			t->stats.datagrams_high = t->stats.datagrams;
	} else {
		DL_APPEND(t->waiting, d);
	}
	return d;
}

struct held_packet *fragtab_first(struct fragtab *t, const struct packet *p, uint64_t now_ms)
{
	struct datagram_key k = key_of(p);
	unsigned hash;
	struct datagram *d = find(t, &k, &hash);
	struct held_packet *waited = d ? take(t, d) : NULL;

	if (t->stats.datagrams >= t->limits.datagrams) {
		take(t, t->known);
		t->stats.forgotten++;
	}
	/* Without memory for it later ones wait, and time out. */
	d = add(t, &k, hash, true, now_ms);
	if (d)
		d->flow = p->key;
	for (struct held_packet *h = waited; h; h = h->next)
		h->p.key = p->key;
	return waited;
}

bool fragtab_fill(const struct fragtab *t, struct packet *p, uint64_t now_ms)
{
	struct datagram_key k = key_of(p);
	unsigned hash;
	const struct datagram *d = find(t, &k, &hash);

	if (!d || !d->known || now_ms - d->since_ms >= t->limits.known_ms)
		return false;
	p->key = d->flow;
	return true;
}

/* The oldest datagrams give way, until the packet fits beside those of its own.  False: it never does. */
static bool make_room(struct fragtab *t, const struct datagram *own, const struct packet *p, struct held_packet **out)
{
	struct held_packet **end = out;

	while (t->stats.waiting >= t->limits.packets || t->stats.bytes + cost(p) > t->limits.bytes) {
		struct datagram *oldest = t->waiting;

		if (oldest && oldest == own)
			oldest = oldest->next;
		if (!oldest)
			return false;
		*end = take(t, oldest);
		while (*end)
			end = &(*end)->next;
		t->stats.forgotten++;
	}
	return true;
}

bool fragtab_wait(struct fragtab *t, const struct packet *p, uint64_t now_ms, struct held_packet **out)
{
	struct datagram_key k = key_of(p);
	unsigned hash;
	struct datagram *d = find(t, &k, &hash);
	struct held_packet *held;

	*out = NULL;
	if (d && d->known) { /* but for too long: fragtab_fill() did not take it */
		take(t, d);
		d = NULL;
	}
	if ((d && d->count >= t->limits.each) || !make_room(t, d, p, out))
		return false;
	held = held_packet_new(p, 0);
	if (!held)
		return false;
	if (!d)
		d = add(t, &k, hash, false, now_ms);
	if (!d) {
		free(held);
		return false;
	}
	if (d->last)
		d->last->next = held;
	else
		d->first = held;
	d->last = held;
	d->count++;
	t->stats.bytes += cost(p);
	if (t->stats.bytes > t->stats.bytes_high)
		t->stats.bytes_high = t->stats.bytes;
	if (++t->stats.waiting > t->stats.waiting_high)
		t->stats.waiting_high = t->stats.waiting;
	return true;
}

struct held_packet *fragtab_expire(struct fragtab *t, uint64_t now_ms)
{
	struct held_packet *list = NULL, **end = &list;

	while (t->known && now_ms - t->known->since_ms >= t->limits.known_ms)
		take(t, t->known);
	while (t->waiting && now_ms - t->waiting->since_ms >= t->limits.wait_ms) {
		*end = take(t, t->waiting);
		while (*end)
			end = &(*end)->next;
	}
	return list;
}

const struct fragtab_stats *fragtab_stats(const struct fragtab *t)
{
	return &t->stats;
}
