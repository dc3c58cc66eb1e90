/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who looks on (turnoutctl capture): leases, what each wants to see, and how
 * much may be published a second.
 *
 * A lease ends by itself, so a user that died costs nothing.  Filters are
 * classic BPF, checked before they are run.  Pure; must not know what
 * publishing is.  ARCH-7.
 */
#ifndef TURNOUT_FAD_TAP_H
#define TURNOUT_FAD_TAP_H

#include "fad/classifier.h"
#include "fad/engine.h"
#include "proto/admin.pb-c.h"

#define TAP_LEASE_MS 2000
#define TAP_USERS    8
/* Packets a second, and at once: events for routed-glue wait in the same queues, which have room for 1024. */
#define TAP_RATE  1000
#define TAP_BURST 256

/* A packet that somebody wants to see; what is borrowed lives as long as the call. */
struct tap_packet {
	const char *kind;   /* "drop", "punt", "copy", "returned" */
	const char *reason; /* the counter's name */
	const uint8_t *data;
	uint32_t len;  /* of data */
	uint32_t full; /* of the packet */
	uint32_t ifindex;
	uint64_t skipped; /* before it, here and in the kernel */
};

struct tap_out {
	void (*publish)(void *ctx, const struct tap_packet *p);
	/* Somebody looks on now, or nobody does any more. */
	void (*looked_on)(void *ctx, bool now);
};

struct tap;

struct tap *tap_new(const struct tap_out *out, void *ctx); /* NULL: out of memory */
void tap_free(struct tap *t);

/* Start, renew or end a lease.  NULL, or what is wrong with the request. */
const char *tap_request(struct tap *t, const Turnout__Capture *request, uint64_t now_ms);
/* For struct engine_tap; ctx: the tap.  At the time last told. */
void tap_packet(void *ctx, enum engine_counter why, const uint8_t *data, uint32_t len, uint32_t ifindex);
/* The same of what was dropped in the kernel; wants_drops: does anybody want to see that? */
void tap_dropped(struct tap *t, enum classifier_counter why, const uint8_t *data, uint32_t len, uint32_t ifindex);
bool tap_wants_drops(const struct tap *t);
/* How many the kernel did not show, ever. */
void tap_unshown(struct tap *t, uint64_t count);
/* Tell the time, every 50 ms: leases end, and packets may be published again. */
void tap_tick(struct tap *t, uint64_t now_ms);

uint64_t tap_published(const struct tap *t);
uint64_t tap_skipped(const struct tap *t);

#endif
