/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing what stands in front of a daemon's handler: messages, signed or not,
 * through the look before authentication, the MAC, the replay window and the
 * challenges, as lib/endpoint_io.c does it, with time going by.
 *
 * A message is signed here with a key of the ring, so that what is inside
 * reaches the sessions; how is said by the first two bytes of a step.
 */
#include "proto/auth.h"
#include "proto/session.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/shape_wire.h"

#define SELF 2

/* A step's operation, modulo their number. */
enum { OP_MESSAGE, OP_TIME, OP_FORGET, OPS };
/* MESSAGE, first byte. */
enum { HOW_SIGN = 0x01, HOW_SPOIL = 0x02, HOW_ECHO = 0x04 };

struct bed {
	struct auth_ring *ring;
	struct session *session;
	uint64_t now_ms, randomness;
	struct wire_nonce asked; /* our latest challenge's */
	uint64_t accepted_source, accepted_incarnation, accepted_sequence, accepted_destination;
	uint8_t buf[WIRE_MAX];
};

static void counting(void *ctx, void *bytes, size_t len)
{
	uint64_t *n = ctx;

	++*n;
	memset(bytes, (int)(*n & 0xff), len);
}

/* An answer to our latest challenge, which no mutator would guess. */
static size_t echo(struct bed *b, const struct wire_msg *m)
{
	struct wire_msg out = *m;
	ssize_t n;

	out.nonce = b->asked;
	if (wire_has(&out, WIRE_SEG_SECURITY)) /* of no key here, perhaps */
		out.present &= ~wire_bit(WIRE_SEG_SECURITY);
	auth_prepare(b->ring, &out);
	n = wire_encode(&out, b->buf, sizeof(b->buf));
	return n < 0 ? 0 : (size_t)n;
}

/* Bring the message into the buffer, signed as asked for. */
static size_t prepare(struct bed *b, const struct fuzz_step *s)
{
	size_t size = s->len - 2;
	struct wire_diagnosis why;
	struct wire_msg m;

	if (size > sizeof(b->buf))
		size = sizeof(b->buf);
	memcpy(b->buf, s->data + 2, size);
	if (s->data[0] & (HOW_SIGN | HOW_ECHO) && wire_decode(s->data + 2, size, &m, &why) == WIRE_OK) {
		if (!(s->data[0] & HOW_ECHO))
			b->asked = m.nonce;
		size = echo(b, &m);
		if (size)
			FUZZ_CHECK(auth_sign(b->ring, b->buf, size));
	}
	if (size && s->data[0] & HOW_SPOIL)
		b->buf[s->data[1] % size] ^= 1;
	return size;
}

/* Exactly what was accepted before is never accepted again. */
static void remember(struct bed *b, const struct wire_header *h)
{
	FUZZ_CHECK(h->source != SELF && (h->destination == SELF || h->destination == 0));
	FUZZ_CHECK(session_incarnation(b->session, h->source) == h->incarnation);
	FUZZ_CHECK(h->source != b->accepted_source || h->incarnation != b->accepted_incarnation ||
		   h->sequence != b->accepted_sequence || h->destination != b->accepted_destination);
	b->accepted_source = h->source;
	b->accepted_incarnation = h->incarnation;
	b->accepted_sequence = h->sequence;
	b->accepted_destination = h->destination;
}

static void judge(struct bed *b, const struct wire_msg *m)
{
	bool nonce = wire_has(m, WIRE_SEG_NONCE);
	struct wire_nonce reply;
	struct wire_header h = m->h;

	switch (session_receive(b->session, &m->h, nonce ? &m->nonce : NULL, b->now_ms, &reply)) {
	case SESSION_ACCEPT:
		remember(b, &m->h);
		break;
	case SESSION_CHALLENGE:
		b->asked = reply;
		break;
	case SESSION_ANSWER:
		session_stamp(b->session, m->h.source, &h);
		FUZZ_CHECK(h.source == SELF && h.sequence > 0);
		if (session_incarnation(b->session, m->h.source) != m->h.incarnation &&
		    session_ask(b->session, &m->h, b->now_ms, &reply) == SESSION_CHALLENGE)
			b->asked = reply;
		break;
	default:
		break;
	}
}

static void do_message(struct bed *b, const struct fuzz_step *s)
{
	struct wire_security security;
	struct wire_diagnosis why;
	struct wire_header h;
	struct wire_msg m;
	size_t size = s->len > 2 ? prepare(b, s) : 0;
	uint8_t *copy;

	if (size == 0)
		return;
	copy = malloc(size); /* exactly as long, so that the sanitizer sees its end */
	FUZZ_CHECK(copy != NULL);
	memcpy(copy, b->buf, size);
	if (wire_peek(copy, size, &h, &security) == WIRE_OK &&
	    auth_check(b->ring, copy, size, &h, &security) == AUTH_OK && wire_decode(copy, size, &m, &why) == WIRE_OK)
		judge(b, &m);
	FUZZ_CHECK(memcmp(copy, b->buf, size) == 0);
	free(copy);
}

static void do_time(struct bed *b, const struct fuzz_step *s)
{
	b->now_ms += s->len < 2 ? 100 : fuzz_get16(s->data);
}

/* Afterwards it may say the same again. */
static void do_forget(struct bed *b, const struct fuzz_step *s)
{
	session_forget(b->session, s->len ? s->data[0] & 3 : 0);
	b->accepted_source = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const ops[OPS])(struct bed *, const struct fuzz_step *) = {
		[OP_MESSAGE] = do_message, [OP_TIME] = do_time, [OP_FORGET] = do_forget};
	const uint64_t mine[] = {1, 3};
	struct bed *b = calloc(1, sizeof(*b));
	struct fuzz_step s;

	FUZZ_CHECK(b != NULL);
	b->now_ms = 1000000;
	b->ring = auth_ring_new();
	b->session = session_new(SELF, 7, counting, &b->randomness);
	FUZZ_CHECK(b->ring && b->session && auth_ring_add(b->ring, 1, WIRE_SCHEME_HMAC_SHA256, "secret", 6, NULL, 0));
	FUZZ_CHECK(auth_ring_add(b->ring, 2, WIRE_SCHEME_MD5, "other", 5, mine, 2) && auth_ring_use(b->ring, 1));
	while (fuzz_next(&data, &size, &s))
		ops[s.op % OPS](b, &s);
	session_free(b->session);
	auth_ring_free(b->ring);
	free(b);
	return 0;
}

/* ---- mutations ---- */

static size_t change(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	size_t head = FUZZ_STEP_HEAD + 2, n;

	if (fuzz_below(seed, 32) == 0)
		p[0] = (uint8_t)fuzz_below(seed, OPS);
	if (p[0] % OPS != OP_MESSAGE || size <= head || size > max || max > 0xf000)
		return fuzz_change_step(p, size, max, fuzz_any, seed);
	if (fuzz_below(seed, 4) == 0) {
		p[FUZZ_STEP_HEAD + fuzz_below(seed, 2)] = (uint8_t)fuzz_below(seed, 256);
		return size;
	}
	n = wire_shape(p + head, size - head, max - head, seed);
	fuzz_put16(p + 1, 2 + n);
	return head + n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t chance = fuzz_seed(seed);

	return fuzz_mutate(data, size, max, 0, fuzz_cut_step, change, &chance);
}
