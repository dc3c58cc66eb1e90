/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who looks on: leases, filters, and the limit of what is published.
 */
#include "fad/tap.h"

#include <pcap/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "fad/classifier_name.h"

#define FILTER_MAX 4096 /* instructions */

/* A reason is an enum engine_counter, or behind those an enum classifier_counter. */
#define REASONS ((unsigned)ENGINE_COUNTER_COUNT + CLASSIFIER_COUNTERS)

/* Those of the engine's counters that stand for a packet one may look at. */
enum kind { KIND_NONE, KIND_DROP, KIND_PUNT, KIND_COPY, KIND_RETURNED };
static const char *const kind_names[] = {"", "drop", "punt", "copy", "returned"};

struct user {
	uint64_t id; /* 0: free */
	uint64_t ends_ms;
	uint8_t kinds; /* bits 1 << enum kind */
	int reason;    /* see REASONS; -1: any */
	uint32_t snap;
	struct bpf_insn *filter; /* NULL: all */
};

struct tap {
	const struct tap_out *out;
	void *ctx;
	struct user users[TAP_USERS];
	bool looked_on;
	uint64_t now_ms;
	double tokens;
	uint64_t published, skipped, unshown;
};

struct tap *tap_new(const struct tap_out *out, void *ctx)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->out = out;
	t->ctx = ctx;
	t->tokens = TAP_BURST;
	return t;
}

static void end_lease(struct user *u)
{
	free(u->filter);
	*u = (struct user){0};
}

void tap_free(struct tap *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < TAP_USERS; i++)
		end_lease(&t->users[i]);
	free(t);
}

/* ---- what counters mean ---- */

struct counter_name {
	const char *group, *name;
};

static struct counter_name name_of(unsigned reason)
{
	static const struct counter_name all[ENGINE_COUNTER_COUNT] = {
#define X(id, group, name, help) {group, name},
		ENGINE_COUNTERS(X)
#undef X
	};
	const struct classifier_name *n;

	if (reason < ENGINE_COUNTER_COUNT)
		return all[reason];
	n = classifier_name((enum classifier_counter)(reason - ENGINE_COUNTER_COUNT));
	return (struct counter_name){n->group, n->name};
}

static enum kind kind_of(unsigned reason)
{
	switch (reason) {
	case ENGINE_PUNTS:
		return KIND_PUNT;
	case ENGINE_COPIES:
		return KIND_COPY;
	case ENGINE_RETURNED:
		return KIND_RETURNED;
	default:
		return strcmp(name_of(reason).group, "drops") == 0 ? KIND_DROP : KIND_NONE;
	}
}

/* -1: there is none of this name. */
static int reason_named(const char *name)
{
	for (unsigned i = 0; i < REASONS; i++)
		if (kind_of(i) != KIND_NONE && strcmp(name_of(i).name, name) == 0)
			return (int)i;
	return -1;
}

/* ---- leases ---- */

/* A program that libpcap finds harmless, allocated. */
static struct bpf_insn *make_filter(const uint64_t *words, size_t count)
{
	struct bpf_insn *f;

	if (count > FILTER_MAX)
		return NULL;
	f = calloc(count, sizeof(*f));
	for (size_t i = 0; f != NULL && i < count; i++)
		f[i] = (struct bpf_insn){.code = (u_short)(words[i] >> 48),
					 .jt = (u_char)(words[i] >> 40),
					 .jf = (u_char)(words[i] >> 32),
					 .k = (bpf_u_int32)words[i]};
	if (f != NULL && bpf_validate(f, (int)count))
		return f;
	free(f);
	return NULL;
}

/* This user's place, or a free one; NULL: there is none. */
static struct user *place(struct tap *t, uint64_t id)
{
	struct user *free_one = NULL;

	for (size_t i = 0; i < TAP_USERS; i++) {
		if (t->users[i].id == id)
			return &t->users[i];
		if (t->users[i].id == 0 && free_one == NULL)
			free_one = &t->users[i];
	}
	return free_one;
}

static uint8_t wanted_kinds(const Turnout__Capture *r)
{
	uint8_t kinds = (uint8_t)(r->drops << KIND_DROP | r->punts << KIND_PUNT | r->copies << KIND_COPY |
				  r->returned << KIND_RETURNED);

	return kinds != 0 ? kinds : UINT8_MAX;
}

static void tell(struct tap *t)
{
	bool any = false;

	for (size_t i = 0; i < TAP_USERS; i++)
		any |= t->users[i].id != 0;
	if (any != t->looked_on)
		t->out->looked_on(t->ctx, any);
	t->looked_on = any;
}

const char *tap_request(struct tap *t, const Turnout__Capture *r, uint64_t now_ms)
{
	struct bpf_insn *filter = NULL;
	struct user *u;
	int reason = -1;

	if (r->user == 0)
		return "capture: no user given";
	u = place(t, r->user);
	if (r->end) {
		if (u != NULL)
			end_lease(u);
		tell(t);
		return NULL;
	}
	if (u == NULL)
		return "too many captures at once; end one of them";
	if (*r->reason != '\0') {
		reason = reason_named(r->reason);
		if (reason < 0)
			return "no packet is captured for this reason; see the drops of turnoutctl --all show counters";
	}
	if (r->n_filter > 0) {
		filter = make_filter(r->filter, r->n_filter);
		if (filter == NULL)
			return "capture: the filter is no valid program";
	}
	end_lease(u);
	*u = (struct user){.id = r->user,
			   .ends_ms = now_ms + TAP_LEASE_MS,
			   .kinds = wanted_kinds(r),
			   .reason = reason,
			   .snap = r->snap != 0 ? r->snap : UINT32_MAX,
			   .filter = filter};
	tell(t);
	return NULL;
}

void tap_tick(struct tap *t, uint64_t now_ms)
{
	if (now_ms > t->now_ms)
		t->tokens += (double)(now_ms - t->now_ms) * TAP_RATE / 1000;
	if (t->tokens > TAP_BURST)
		t->tokens = TAP_BURST;
	t->now_ms = now_ms;
	for (size_t i = 0; i < TAP_USERS; i++)
		if (t->users[i].id != 0 && t->users[i].ends_ms <= now_ms)
			end_lease(&t->users[i]);
	tell(t);
}

/* ---- packets ---- */

static bool wants(const struct user *u, enum kind kind, unsigned reason, const uint8_t *data, uint32_t len)
{
	if (u->id == 0 || !(u->kinds & 1u << kind) || (u->reason >= 0 && (unsigned)u->reason != reason))
		return false;
	return u->filter == NULL || bpf_filter(u->filter, data, len, len) != 0;
}

static void show(struct tap *t, unsigned reason, const uint8_t *data, uint32_t len, uint32_t ifindex)
{
	enum kind kind = kind_of(reason);
	uint32_t snap = 0;

	for (size_t i = 0; i < TAP_USERS; i++)
		if (wants(&t->users[i], kind, reason, data, len) && t->users[i].snap > snap)
			snap = t->users[i].snap;
	if (snap == 0)
		return;
	if (t->tokens < 1) {
		t->skipped++;
		return;
	}
	t->tokens -= 1;
	t->published++;
	t->out->publish(t->ctx, &(struct tap_packet){.kind = kind_names[kind],
						     .reason = name_of(reason).name,
						     .data = data,
						     .len = len < snap ? len : snap,
						     .full = len,
						     .ifindex = ifindex,
						     .skipped = t->skipped + t->unshown});
}

void tap_packet(void *ctx, enum engine_counter why, const uint8_t *data, uint32_t len, uint32_t ifindex)
{
	show(ctx, why, data, len, ifindex);
}

void tap_dropped(struct tap *t, enum classifier_counter why, const uint8_t *data, uint32_t len, uint32_t ifindex)
{
	show(t, (unsigned)ENGINE_COUNTER_COUNT + why, data, len, ifindex);
}

void tap_unshown(struct tap *t, uint64_t count)
{
	t->unshown = count;
}

bool tap_wants_drops(const struct tap *t)
{
	for (size_t i = 0; i < TAP_USERS; i++)
		if (t->users[i].id != 0 && (t->users[i].kinds & 1u << KIND_DROP))
			return true;
	return false;
}

uint64_t tap_published(const struct tap *t)
{
	return t->published;
}

uint64_t tap_skipped(const struct tap *t)
{
	return t->skipped;
}
