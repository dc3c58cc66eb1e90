/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests only: read the packet vectors of tests/vectors/packets.  Run from
 * the top of the tree: they are found from there.  Must not know how packets are edited.
 */
#ifndef TURNOUT_FAD_VECTOR_FIXTURE_H
#define TURNOUT_FAD_VECTOR_FIXTURE_H

#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fad/plan.h"
#include "proto/wire.h"

#define VECTORS "tests/vectors/packets/*.txt"

struct vector {
	char name[128];
	uint8_t in[2048], out[2048];
	size_t in_len, out_len;
	struct plan_edit edit;
	struct plan_adjust adjusts[PLAN_MAX_ADJUSTS];
	uint32_t adjust_count;
	bool wrapped;
	struct wire_tunnel tunnel;
	uint16_t id;
	uint64_t flow;
	uint16_t partial; /* offset of the transport header, or 0 */
};

static inline size_t vector_read_hex(const char *text, uint8_t *to, size_t cap)
{
	size_t n = 0;
	unsigned byte;

	for (; sscanf(text, "%2x", &byte) == 1; text += 2) {
		ck_assert_uint_lt(n, cap);
		to[n++] = (uint8_t)byte;
	}
	return n;
}

static inline void vector_read_edit(char *text, struct plan_edit *e)
{
	char *rest = NULL;

	*e = (struct plan_edit){0};
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		char *value = strchr(word, '=');
		struct addr a = {0};

		ck_assert_ptr_nonnull(value);
		*value++ = '\0';
		if (!strcmp(word, "src") || !strcmp(word, "dst")) {
			ck_assert(addr_parse(value, &a));
			e->family = a.family;
			memcpy(word[0] == 's' ? e->src : e->dst, a.b, 16);
			e->set |= word[0] == 's' ? PLAN_SRC : PLAN_DST;
		} else if (!strcmp(word, "sport")) {
			e->sport = (uint16_t)strtoul(value, NULL, 10);
			e->set |= PLAN_SPORT;
		} else {
			ck_assert_str_eq(word, "dport");
			e->dport = (uint16_t)strtoul(value, NULL, 10);
			e->set |= PLAN_DPORT;
		}
	}
}

typedef void (*vector_check)(void *ctx, struct vector *v);

static inline void vector_read_adjust(const char *text, struct vector *v)
{
	struct plan_adjust *a = &v->adjusts[v->adjust_count];

	ck_assert_uint_lt(v->adjust_count++, PLAN_MAX_ADJUSTS);
	ck_assert_int_eq(sscanf(text, "%u %u %u %u", &a->seq_delta, &a->seq_initial, &a->ack_delta, &a->ack_initial),
			 4);
}

static inline void vector_read_wrap(const char *text, struct vector *v)
{
	char kind[8], local[64], remote[64];
	unsigned port, hops, id;
	unsigned long long flow;

	ck_assert_int_eq(sscanf(text, "%7s %63s %63s %u %u %u %llu", kind, local, remote, &port, &hops, &id, &flow), 7);
	v->tunnel = (struct wire_tunnel){.kind = !strcmp(kind, "udp") ? WIRE_TUNNEL_UDP : WIRE_TUNNEL_IP,
					 .hop_limit = (uint8_t)hops,
					 .port = (uint16_t)port};
	ck_assert(addr_parse(local, &v->tunnel.local) && addr_parse(remote, &v->tunnel.remote));
	v->id = (uint16_t)id;
	v->flow = flow;
	v->wrapped = true;
}

static inline void vector_line(size_t word, char *rest, struct vector *v, vector_check check, void *ctx)
{
	if (word == 0) {
		memset(v, 0, sizeof(*v));
		snprintf(v->name, sizeof(v->name), "%s", rest);
	} else if (word == 1) {
		v->in_len = vector_read_hex(rest, v->in, sizeof(v->in));
	} else if (word == 2) {
		vector_read_edit(rest, &v->edit);
	} else if (word == 3) {
		v->partial = (uint16_t)strtoul(rest, NULL, 10);
	} else if (word == 4) {
		vector_read_adjust(rest, v);
	} else if (word == 5) {
		vector_read_wrap(rest, v);
	} else {
		v->out_len = vector_read_hex(rest, v->out, sizeof(v->out));
		check(ctx, v);
	}
}

static inline size_t vector_file(const char *path, vector_check check, void *ctx)
{
	static const char *const words[] = {"packet ", "in ", "edit ", "partial ", "adjust ", "wrap ", "out "};
	const size_t count_of_words = sizeof(words) / sizeof(words[0]);
	FILE *f = fopen(path, "r");
	struct vector *v = calloc(1, sizeof(*v));
	char *line = NULL;
	size_t room = 0, count = 0;

	ck_assert_ptr_nonnull(f);
	while (getline(&line, &room, f) > 0) {
		size_t w = 0;

		line[strcspn(line, "\n")] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		while (w < count_of_words && strncmp(line, words[w], strlen(words[w])) != 0)
			w++;
		ck_assert_msg(w < count_of_words, "%s: %s", path, line);
		vector_line(w, line + strlen(words[w]), v, check, ctx);
		count += w == count_of_words - 1;
	}
	free(line);
	free(v);
	fclose(f);
	return count;
}

/* All vectors; returns how many. */
static inline size_t vectors_each(vector_check check, void *ctx)
{
	size_t count = 0;
	glob_t found;

	ck_assert_msg(glob(VECTORS, 0, NULL, &found) == 0, "no " VECTORS ": run this from the top of the tree");
	for (size_t i = 0; i < found.gl_pathc; i++)
		count += vector_file(found.gl_pathv[i], check, ctx);
	globfree(&found);
	return count;
}

#endif
