/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Incarnations, replay windows and challenges of all peers (MSG-13, SEC-4).
 *
 * Must not know addresses, keys or what a message is about: it judges an
 * already authenticated header, and the nonce where there is one.
 *
 * Two bounds keep a flood of invented identities harmless.  A peer that has
 * answered is never displaced; one that has not may be, once it had its time to
 * answer.  And our own sequence towards a displaced peer is not lost: numbers
 * for whoever has no entry come from one counter that never lags behind any
 * number used before, so that no destination ever sees one twice.
 */
#include "proto/session.h"

#include <stdlib.h>
#include <string.h>

#define BUCKET_BITS   12
#define BUCKETS       (1u << BUCKET_BITS)
#define WORD_BITS     64
#define WINDOW_WORDS  (SESSION_WINDOW / WORD_BITS + 1) /* the newest itself needs a bit, too */
#define WINDOW_BITS   (WINDOW_WORDS * WORD_BITS)
#define NONCE_LIFE_MS 5000 /* an answer later than that is stale */
#define ANSWER_MS     2000 /* time an unproven peer has before another may take its place */
#define TRIED         4    /* incarnations of one peer challenged in 200 ms, beside the one of the greatest number */

/* Sequences seen: newest, and one bit for each of those that may still come. */
struct window {
	uint64_t newest;
	uint64_t seen[WINDOW_WORDS]; /* bit sequence % WINDOW_BITS */
};

/* An incarnation, and when it was last challenged. */
struct tried {
	uint64_t incarnation, sent_ms;
};

struct peer {
	uint64_t identity;
	uint64_t incarnation; /* that answered a challenge; 0: none yet */
	struct window unicast, group;
	uint64_t sent; /* our last sequence towards it */

	/* One nonce for all incarnations that claim to be it: only one of them can answer. */
	uint8_t nonce[WIRE_NONCE_LEN];
	uint64_t nonce_ms; /* made at */
	bool outstanding;
	struct tried tried[TRIED], greatest; /* of incarnation 0: none yet */

	uint8_t answered[WIRE_NONCE_LEN]; /* by us, last */
	uint64_t answered_ms;
	bool has_answered;

	struct peer *next; /* in its bucket */
	/* Unproven peers, by the time of the last challenge. */
	struct peer *older, *newer;
	uint64_t touched_ms;
};

struct session {
	uint64_t self, incarnation;
	session_random random;
	void *ctx;
	uint64_t multiplier; /* secret: bucket numbers are not to be guessed */
	uint64_t group_sent; /* last sequence with destination 0 */
	uint64_t other_sent; /* at least the last one to any identity without an entry */
	unsigned count;
	struct peer *oldest, *newest; /* unproven */
	struct peer *buckets[BUCKETS];
};

/* ---- replay windows ---- */

static uint64_t *window_word(struct window *w, uint64_t sequence, uint64_t *bit)
{
	uint64_t i = sequence % WINDOW_BITS;
	*bit = 1ull << i % WORD_BITS;
	return &w->seen[i / WORD_BITS];
}

/* Nothing up to this sequence may come again. */
static void window_start(struct window *w, uint64_t sequence)
{
	w->newest = sequence;
	memset(w->seen, 0xff, sizeof w->seen);
}

/* Is it new?  If so it is not from now on. */
static bool window_take(struct window *w, uint64_t sequence)
{
	uint64_t bit;
	if (sequence <= w->newest) {
		uint64_t *word = window_word(w, sequence, &bit);
		if (w->newest - sequence > SESSION_WINDOW || *word & bit)
			return false;
		*word |= bit;
		return true;
	}
	if (sequence - w->newest >= WINDOW_BITS)
		memset(w->seen, 0, sizeof w->seen);
	else
		for (uint64_t s = w->newest + 1; s < sequence; s++) {
			uint64_t *word = window_word(w, s, &bit); /* a statement of its own: it sets bit */
			*word &= ~bit;
		}
	w->newest = sequence;
	uint64_t *word = window_word(w, sequence, &bit);
	*word |= bit;
	return true;
}

/* ---- peers ---- */

static struct peer **bucket_of(struct session *s, uint64_t identity)
{
	return &s->buckets[identity * s->multiplier >> (64 - BUCKET_BITS)];
}

static struct peer *find(const struct session *s, uint64_t identity)
{
	struct peer *p = s->buckets[identity * s->multiplier >> (64 - BUCKET_BITS)];
	while (p && p->identity != identity)
		p = p->next;
	return p;
}

static void unlink_unproven(struct session *s, struct peer *p)
{
	if (p->older)
		p->older->newer = p->newer;
	else if (s->oldest == p)
		s->oldest = p->newer;
	if (p->newer)
		p->newer->older = p->older;
	else if (s->newest == p)
		s->newest = p->older;
	p->older = p->newer = NULL;
}

/* An unproven peer gets its time to answer from now on. */
static void touch(struct session *s, struct peer *p, uint64_t now_ms)
{
	if (p->incarnation)
		return;
	unlink_unproven(s, p);
	p->touched_ms = now_ms;
	p->older = s->newest;
	if (s->newest)
		s->newest->newer = p;
	else
		s->oldest = p;
	s->newest = p;
}

static void drop(struct session *s, struct peer *p)
{
	struct peer **at = bucket_of(s, p->identity);
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	unlink_unproven(s, p);
	if (s->other_sent < p->sent)
		s->other_sent = p->sent;
	s->count--;
	free(p);
}

static struct peer *find_or_add(struct session *s, uint64_t identity, uint64_t now_ms)
{
	struct peer *p = find(s, identity);
	if (p)
		return p;
	if (s->count >= SESSION_MAX_PEERS) {
		if (!s->oldest || now_ms - s->oldest->touched_ms < ANSWER_MS)
			return NULL;
		drop(s, s->oldest);
	}
	p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->identity = identity;
	p->sent = s->other_sent;
	struct peer **bucket = bucket_of(s, identity);
	p->next = *bucket;
	*bucket = p;
	s->count++;
	touch(s, p, now_ms);
	return p;
}

struct session *session_new(uint64_t self, uint64_t incarnation, session_random random, void *ctx)
{
	struct session *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->self = self;
	s->incarnation = incarnation;
	s->random = random;
	s->ctx = ctx;
	random(ctx, &s->multiplier, sizeof s->multiplier);
	s->multiplier |= 1;
	return s;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < BUCKETS; i++)
		while (s->buckets[i]) {
			struct peer *p = s->buckets[i];
			s->buckets[i] = p->next;
			free(p);
		}
	free(s);
}

/* ---- judging ---- */

static bool take(struct peer *p, const struct wire_header *h)
{
	return window_take(h->destination ? &p->unicast : &p->group, h->sequence);
}

/*
 * Where to note a challenge of this incarnation; NULL: not now.
 *
 * Recorded messages of any number of dead incarnations must not draw more than a few challenges, nor keep a new one
 * from being asked.  A new one's number is the greatest as a rule: it has a place of its own.  Whose clock was set back
 * takes its chance with the dead ones.
 */
static struct tried *may_challenge(struct peer *p, uint64_t incarnation, uint64_t now_ms)
{
	struct tried *t = &p->tried[0];
	if (incarnation > p->greatest.incarnation)
		return &p->greatest;
	if (incarnation == p->greatest.incarnation)
		t = &p->greatest;
	for (unsigned i = 0; i < TRIED && t->incarnation != incarnation; i++)
		if (p->tried[i].incarnation == incarnation || p->tried[i].sent_ms < t->sent_ms)
			t = &p->tried[i];
	return !t->incarnation || now_ms - t->sent_ms >= SESSION_REPEAT_MS ? t : NULL;
}

static enum session_verdict challenge(struct session *s, struct peer *p, uint64_t incarnation, uint64_t now_ms,
				      struct wire_nonce *reply)
{
	struct tried *t = may_challenge(p, incarnation, now_ms);
	if (!t)
		return SESSION_PENDING;
	/* Repeated unchanged, so that an answer that takes longer than the repetition still counts. */
	if (!p->outstanding || now_ms - p->nonce_ms >= NONCE_LIFE_MS) {
		s->random(s->ctx, p->nonce, sizeof p->nonce);
		p->nonce_ms = now_ms;
		p->outstanding = true;
	}
	*t = (struct tried){.incarnation = incarnation, .sent_ms = now_ms};
	touch(s, p, now_ms);
	memset(reply, 0, sizeof *reply);
	memcpy(reply->nonce, p->nonce, sizeof p->nonce);
	return SESSION_CHALLENGE;
}

/*
 * Whoever asks may be unknown: two strangers would wait for each other else.
 * But one question twice at once, a copy of it perhaps, is answered once.
 */
static enum session_verdict answer(struct session *s, const struct wire_header *h, const struct wire_nonce *nonce,
				   uint64_t now_ms, struct wire_nonce *reply)
{
	struct peer *p = find_or_add(s, h->source, now_ms);
	if (p && p->incarnation == h->incarnation) {
		if (!take(p, h))
			return SESSION_REPLAY;
	} else if (p && p->has_answered && now_ms - p->answered_ms < SESSION_REPEAT_MS / 2 &&
		   memcmp(p->answered, nonce->nonce, sizeof p->answered) == 0) {
		return SESSION_PENDING;
	}
	if (p) {
		p->has_answered = true;
		p->answered_ms = now_ms;
		memcpy(p->answered, nonce->nonce, sizeof p->answered);
	}
	memcpy(reply->nonce, nonce->nonce, sizeof reply->nonce);
	reply->group_sequence = s->group_sent;
	return SESSION_ANSWER;
}

static enum session_verdict prove(struct session *s, const struct wire_header *h, const struct wire_nonce *nonce,
				  uint64_t now_ms)
{
	struct peer *p = find(s, h->source);
	if (!p || !p->outstanding || now_ms - p->nonce_ms >= NONCE_LIFE_MS ||
	    memcmp(p->nonce, nonce->nonce, sizeof p->nonce) != 0)
		return SESSION_STALE;
	/* A copy of something old had us ask one we know: its windows go on. */
	if (p->incarnation == h->incarnation) {
		if (!take(p, h))
			return SESSION_REPLAY;
	} else {
		unlink_unproven(s, p);
		p->incarnation = h->incarnation;
		window_start(&p->unicast, h->sequence);
		window_start(&p->group, nonce->group_sequence);
	}
	p->outstanding = false;
	return SESSION_KNOWN;
}

enum session_verdict session_receive(struct session *s, const struct wire_header *h, const struct wire_nonce *nonce,
				     uint64_t now_ms, struct wire_nonce *reply)
{
	if (h->source == s->self)
		return SESSION_OURSELVES;
	if (h->destination && h->destination != s->self)
		return SESSION_NOT_FOR_US;
	if (h->type == WIRE_CHALLENGE)
		return answer(s, h, nonce, now_ms, reply);
	if (h->type == WIRE_CHALLENGE_RESPONSE)
		return prove(s, h, nonce, now_ms);
	struct peer *p = find_or_add(s, h->source, now_ms);
	if (!p)
		return SESSION_FULL;
	if (p->incarnation == h->incarnation)
		return take(p, h) ? SESSION_ACCEPT : SESSION_REPLAY;
	return challenge(s, p, h->incarnation, now_ms, reply);
}

enum session_verdict session_ask(struct session *s, const struct wire_header *h, uint64_t now_ms,
				 struct wire_nonce *reply)
{
	struct peer *p = find_or_add(s, h->source, now_ms);
	return p ? challenge(s, p, h->incarnation, now_ms, reply) : SESSION_FULL;
}

void session_stamp(struct session *s, uint64_t destination, struct wire_header *h)
{
	struct peer *p = destination ? find(s, destination) : NULL;
	uint64_t *sent = !destination ? &s->group_sent : p ? &p->sent : &s->other_sent;
	h->source = s->self;
	h->incarnation = s->incarnation;
	h->destination = destination;
	h->sequence = ++*sent;
}

uint64_t session_incarnation(const struct session *s, uint64_t peer)
{
	const struct peer *p = find(s, peer);
	return p ? p->incarnation : 0;
}

void session_forget(struct session *s, uint64_t peer)
{
	struct peer *p = find(s, peer);
	if (p)
		drop(s, p);
}

const char *session_verdict_name(enum session_verdict v)
{
	static const char *const names[SESSION_COUNT] = {
		[SESSION_ACCEPT] = "accept", [SESSION_CHALLENGE] = "challenge", [SESSION_ANSWER] = "answer",
		[SESSION_KNOWN] = "known",   [SESSION_PENDING] = "pending",     [SESSION_REPLAY] = "replay",
		[SESSION_STALE] = "stale",   [SESSION_OURSELVES] = "ourselves", [SESSION_NOT_FOR_US] = "not-for-us",
		[SESSION_FULL] = "full",
	};
	return (size_t)v < SESSION_COUNT && names[v] ? names[v] : "unknown";
}
