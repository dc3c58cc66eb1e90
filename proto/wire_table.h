/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the message codec only: the row that describes a segment type, and the
 * functions the rows name.  wire.c has the table and walks it, wire_segments.c
 * the fields of each segment, wire_agree.c what segments say of each other,
 * wire_print.c the text.
 */
#ifndef TURNOUT_PROTO_WIRE_TABLE_H
#define TURNOUT_PROTO_WIRE_TABLE_H

#include "proto/wire_cursor.h"

/*
 * decode  reads the segment's fields; limits that bound a copy are checked here
 * check   says whether the decoded fields make sense by themselves
 * agree   says whether they go with the rest of the message; NULL: nothing to say
 * encode  writes the fields; check and agree have been asked before
 * print   writes them for people, without a newline
 *
 * i is the instance of a segment that may repeat, else 0.
 */
struct wire_segment_row {
	uint8_t type;
	uint8_t max;       /* instances in a message; at least one when present */
	uint16_t count_at; /* repeating: where in struct wire_msg its uint8_t count is; 0: does not repeat */
	const char *name;
	void (*decode)(struct wire_reader *r, struct wire_msg *m);
	enum wire_fault (*check)(const struct wire_msg *m, unsigned i);
	enum wire_fault (*agree)(const struct wire_msg *m, unsigned i);
	void (*encode)(struct wire_writer *w, const struct wire_msg *m, unsigned i);
	void (*print)(const struct wire_msg *m, unsigned i, FILE *out);
};

/* The rows, in the order segments are written; *count of them. */
const struct wire_segment_row *wire_segment_rows(size_t *count);
/* How many of this row's segment are in m. */
unsigned wire_instances(const struct wire_segment_row *row, const struct wire_msg *m);

/* Segments: one set of functions each. */
#define WIRE_SEGMENT_FUNCTIONS(name)                                                                                   \
	void wire_decode_##name(struct wire_reader *r, struct wire_msg *m);                                            \
	enum wire_fault wire_check_##name(const struct wire_msg *m, unsigned i);                                       \
	void wire_encode_##name(struct wire_writer *w, const struct wire_msg *m, unsigned i);                          \
	void wire_print_##name(const struct wire_msg *m, unsigned i, FILE *out)

WIRE_SEGMENT_FUNCTIONS(security);
WIRE_SEGMENT_FUNCTIONS(listing);
WIRE_SEGMENT_FUNCTIONS(nonce);
WIRE_SEGMENT_FUNCTIONS(wildcard);
WIRE_SEGMENT_FUNCTIONS(ranges);
WIRE_SEGMENT_FUNCTIONS(fixed);
WIRE_SEGMENT_FUNCTIONS(identifier);
WIRE_SEGMENT_FUNCTIONS(list);
WIRE_SEGMENT_FUNCTIONS(error);
WIRE_SEGMENT_FUNCTIONS(precedence);
WIRE_SEGMENT_FUNCTIONS(backup);
WIRE_SEGMENT_FUNCTIONS(nat);
WIRE_SEGMENT_FUNCTIONS(advertise);
WIRE_SEGMENT_FUNCTIONS(seq_adjust);
WIRE_SEGMENT_FUNCTIONS(interest);
WIRE_SEGMENT_FUNCTIONS(tunnel);
WIRE_SEGMENT_FUNCTIONS(reject);
WIRE_SEGMENT_FUNCTIONS(identity);
WIRE_SEGMENT_FUNCTIONS(sm_data);
WIRE_SEGMENT_FUNCTIONS(fa_data);
WIRE_SEGMENT_FUNCTIONS(packet);

/* The security segment by itself, for wire_peek(). */
void wire_read_security(struct wire_reader *r, struct wire_security *s);

/* Segments against each other (wire_agree.c). */
enum wire_fault wire_agree_ranges(const struct wire_msg *m, unsigned i);
enum wire_fault wire_agree_nat(const struct wire_msg *m, unsigned i);
enum wire_fault wire_agree_advertise(const struct wire_msg *m, unsigned i);
enum wire_fault wire_agree_seq_adjust(const struct wire_msg *m, unsigned i);
enum wire_fault wire_agree_tunnel(const struct wire_msg *m, unsigned i);
enum wire_fault wire_agree_reject(const struct wire_msg *m, unsigned i);
enum wire_fault wire_agree_nonce(const struct wire_msg *m, unsigned i);
enum wire_fault wire_agree_list(const struct wire_msg *m, unsigned i);
enum wire_fault wire_agree_fixed(const struct wire_msg *m, unsigned i);
enum wire_fault wire_agree_listing(const struct wire_msg *m, unsigned i);
enum wire_fault wire_agree_packet(const struct wire_msg *m, unsigned i);

#endif
