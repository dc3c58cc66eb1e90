/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checked cursors for the message codec: a reader and a writer that cannot run
 * past their end.  The bounds check is in here and nowhere else.
 *
 * A reader remembers the first thing that went wrong; from then on it returns
 * zeros.  So a segment's decoder is a plain list of reads, and its caller looks
 * at the fault once, at the end.  A sub-reader bounds each segment.
 *
 * This file must not know of segments or messages.
 */
#ifndef TURNOUT_PROTO_WIRE_CURSOR_H
#define TURNOUT_PROTO_WIRE_CURSOR_H

#include <string.h>

#include "proto/wire.h"

struct wire_reader {
	const uint8_t *message; /* offsets count from here */
	const uint8_t *next, *end;
	enum wire_fault fault; /* the first, or WIRE_OK */
	uint16_t at;           /* its offset in the message */
};

struct wire_writer {
	uint8_t *start;
	size_t len, cap;
	bool full; /* something did not fit; len is then meaningless */
};

static inline size_t wire_left(const struct wire_reader *r)
{
	return (size_t)(r->end - r->next);
}

static inline uint16_t wire_offset(const struct wire_reader *r)
{
	return (uint16_t)(r->next - r->message);
}

static inline void wire_fail(struct wire_reader *r, enum wire_fault fault)
{
	if (r->fault != WIRE_OK)
		return;
	r->fault = fault;
	r->at = wire_offset(r);
}

/* The next n bytes, or NULL: then the reader has failed and is at its end. */
static inline const uint8_t *wire_take(struct wire_reader *r, size_t n)
{
	if (r->fault == WIRE_OK && wire_left(r) < n)
		wire_fail(r, WIRE_FAULT_TRUNCATED);
	if (r->fault != WIRE_OK) {
		r->next = r->end;
		return NULL;
	}
	const uint8_t *p = r->next;
	r->next += n;
	return p;
}

static inline uint8_t wire_read_u8(struct wire_reader *r)
{
	const uint8_t *p = wire_take(r, 1);
	return p ? p[0] : 0;
}

static inline uint16_t wire_read_u16(struct wire_reader *r)
{
	const uint8_t *p = wire_take(r, 2);
	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t wire_read_u32(struct wire_reader *r)
{
	const uint8_t *p = wire_take(r, 4);
	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static inline uint64_t wire_read_u64(struct wire_reader *r)
{
	uint64_t high = wire_read_u32(r);
	return high << 32 | wire_read_u32(r);
}

static inline void wire_read_bytes(struct wire_reader *r, uint8_t *to, size_t n)
{
	const uint8_t *p = wire_take(r, n);
	if (p)
		memcpy(to, p, n);
}

/* Reserved bytes: anything but zero is a fault, so that they can be given a meaning later. */
static inline void wire_read_zero(struct wire_reader *r, size_t n, enum wire_fault fault)
{
	for (; n > 0; n--) {
		if (r->next < r->end && *r->next != 0)
			wire_fail(r, fault);
		wire_read_u8(r);
	}
}

/* An address family that must be there. */
static inline uint8_t wire_read_family(struct wire_reader *r)
{
	if (r->next < r->end && *r->next != 4 && *r->next != 6)
		wire_fail(r, WIRE_FAULT_VALUE);
	return wire_read_u8(r);
}

/* An addr field, which may be absent (family 0). */
static inline void wire_read_addr(struct wire_reader *r, struct addr *a)
{
	if (r->next < r->end && *r->next == 0)
		wire_read_u8(r);
	else if ((a->family = wire_read_family(r)) != 0)
		wire_read_bytes(r, a->b, addr_len(a->family));
}

/* A reader of the next n bytes only, which are skipped in r. */
static inline struct wire_reader wire_sub(struct wire_reader *r, size_t n)
{
	struct wire_reader sub = {.message = r->message, .next = r->next, .end = r->next};
	if (wire_take(r, n))
		sub.end = sub.next + n;
	return sub;
}

static inline uint8_t *wire_put(struct wire_writer *w, size_t n)
{
	if (w->full || w->cap - w->len < n) {
		w->full = true;
		return NULL;
	}
	uint8_t *p = w->start + w->len;
	w->len += n;
	return p;
}

static inline void wire_write_bytes(struct wire_writer *w, const void *from, size_t n)
{
	uint8_t *p = wire_put(w, n);
	if (p && n > 0)
		memcpy(p, from, n);
}

static inline void wire_write_zero(struct wire_writer *w, size_t n)
{
	uint8_t *p = wire_put(w, n);
	if (p)
		memset(p, 0, n);
}

static inline void wire_write_u8(struct wire_writer *w, uint8_t v)
{
	wire_write_bytes(w, &v, 1);
}

static inline void wire_write_u16(struct wire_writer *w, uint16_t v)
{
	const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
	wire_write_bytes(w, b, sizeof b);
}

static inline void wire_write_u32(struct wire_writer *w, uint32_t v)
{
	wire_write_u16(w, (uint16_t)(v >> 16));
	wire_write_u16(w, (uint16_t)v);
}

static inline void wire_write_u64(struct wire_writer *w, uint64_t v)
{
	wire_write_u32(w, (uint32_t)(v >> 32));
	wire_write_u32(w, (uint32_t)v);
}

static inline void wire_write_addr(struct wire_writer *w, const struct addr *a)
{
	wire_write_u8(w, a->family);
	wire_write_bytes(w, a->b, addr_len(a->family));
}

#endif
