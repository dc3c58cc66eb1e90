/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For fuzzers only: inputs made of pieces that carry their own lengths, and
 * changing them without spoiling those: a piece goes, comes twice, moves, or
 * is changed inside, and the lengths are right afterwards.
 *
 * A sequence is pieces of operation u8, length u16, bytes.  One that is longer
 * than what is left has what is left, so any bytes are a sequence.
 *
 * Must not know what a piece means.
 */
#ifndef TURNOUT_TESTS_FUZZ_MUTATE_H
#define TURNOUT_TESTS_FUZZ_MUTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_CHECK(x)                                                                                                  \
	do {                                                                                                           \
		if (!(x)) {                                                                                            \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);                                \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

#define FUZZ_PIECES    128
#define FUZZ_STEP_HEAD 3

/* libFuzzer's entry points and its own mutator. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

/* Below n. */
static inline uint32_t fuzz_below(uint32_t *seed, uint32_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed % n;
}

static inline uint32_t fuzz_seed(unsigned seed)
{
	return seed ? seed : 1;
}

static inline void fuzz_put16(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static inline size_t fuzz_get16(const uint8_t *at)
{
	return (size_t)at[0] << 8 | at[1];
}

/* ---- pieces ---- */

/* Length of the first piece, with its head; 0: cannot be told, so all that is left is one. */
typedef size_t (*fuzz_cut)(const uint8_t *data, size_t size);
/* Change a piece in place, its head included; max is at least size.  Returns its new length. */
typedef size_t (*fuzz_change)(uint8_t *piece, size_t size, size_t max, uint32_t *seed);

struct fuzz_piece {
	const uint8_t *at;
	size_t len;
};

static inline size_t fuzz_pieces(const uint8_t *data, size_t size, fuzz_cut cut, struct fuzz_piece *out)
{
	size_t count = 0;

	while (size > 0) {
		size_t n = count + 1 < FUZZ_PIECES ? cut(data, size) : 0;

		if (n == 0 || n > size)
			n = size;
		out[count++] = (struct fuzz_piece){data, n};
		data += n;
		size -= n;
	}
	return count;
}

/* Take away, double or move one.  Returns how many there are then. */
static inline size_t fuzz_arrange(struct fuzz_piece *p, size_t count, uint32_t *seed)
{
	size_t from = fuzz_below(seed, (uint32_t)count), to = fuzz_below(seed, (uint32_t)count);
	struct fuzz_piece it = p[from];

	switch (fuzz_below(seed, 3)) {
	case 0:
		memmove(&p[from], &p[from + 1], (count - from - 1) * sizeof(*p));
		return count - 1;
	case 1:
		if (count == FUZZ_PIECES)
			return count;
		memmove(&p[to + 1], &p[to], (count - to) * sizeof(*p));
		p[to] = it;
		return count + 1;
	default:
		p[from] = p[to];
		p[to] = it;
		return count;
	}
}

/* Write them one after the other, as many as fit; number `which` changed. */
static inline size_t fuzz_join(const struct fuzz_piece *p, size_t count, size_t which, fuzz_change change, uint8_t *out,
			       size_t max, uint32_t *seed)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		if (p[i].len > max - used)
			continue;
		memcpy(out + used, p[i].at, p[i].len);
		used += i == which ? change(out + used, p[i].len, max - used, seed) : p[i].len;
	}
	return used;
}

/* Change data, of which the first `head` bytes are no pieces and stay. */
static inline size_t fuzz_mutate(uint8_t *data, size_t size, size_t max, size_t head, fuzz_cut cut, fuzz_change change,
				 uint32_t *seed)
{
	struct fuzz_piece pieces[FUZZ_PIECES];
	uint8_t *from;
	size_t count, which = FUZZ_PIECES;

	if (size <= head)
		return LLVMFuzzerMutate(data, size, max);
	from = malloc(size);
	FUZZ_CHECK(from != NULL);
	memcpy(from, data, size);
	count = fuzz_pieces(from + head, size - head, cut, pieces);
	if (fuzz_below(seed, 4) == 0)
		count = fuzz_arrange(pieces, count, seed);
	else
		which = fuzz_below(seed, (uint32_t)count);
	size = head + fuzz_join(pieces, count, which, change, data + head, max - head, seed);
	free(from);
	return size;
}

/* ---- sequences ---- */

struct fuzz_step {
	uint8_t op;
	const uint8_t *data;
	size_t len;
};

static inline size_t fuzz_cut_step(const uint8_t *data, size_t size)
{
	return size < FUZZ_STEP_HEAD ? 0 : FUZZ_STEP_HEAD + fuzz_get16(data + 1);
}

/* Take the next one.  False: none is left. */
static inline bool fuzz_next(const uint8_t **data, size_t *size, struct fuzz_step *s)
{
	size_t n = fuzz_cut_step(*data, *size);

	if (*size < FUZZ_STEP_HEAD)
		return false;
	if (n > *size)
		n = *size;
	*s = (struct fuzz_step){**data, *data + FUZZ_STEP_HEAD, n - FUZZ_STEP_HEAD};
	*data += n;
	*size -= n;
	return true;
}

/* Change a step's bytes by `body`, which need not know of its head. */
static inline size_t fuzz_change_step(uint8_t *piece, size_t size, size_t max, fuzz_change body, uint32_t *seed)
{
	size_t n;

	if (size < FUZZ_STEP_HEAD)
		return size;
	if (max > FUZZ_STEP_HEAD + 0xffff)
		max = FUZZ_STEP_HEAD + 0xffff;
	if (size > max)
		return size;
	n = body(piece + FUZZ_STEP_HEAD, size - FUZZ_STEP_HEAD, max - FUZZ_STEP_HEAD, seed);
	fuzz_put16(piece + 1, n);
	return FUZZ_STEP_HEAD + n;
}

/* The plain mutator where at most max may be added; an empty body becomes one of some bytes. */
static inline size_t fuzz_any(uint8_t *data, size_t size, size_t max, uint32_t *seed)
{
	(void)seed;
	return max == 0 ? 0 : LLVMFuzzerMutate(data, size, max);
}

#endif
