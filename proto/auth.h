/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message authentication: a ring of keys, signing and checking the security
 * segment (SEC-1, SEC-2, SEC-3).  libcrypto does the arithmetic.
 *
 * Pure but for reused libcrypto contexts inside the ring: no files, no
 * sockets, no clocks.  Secrets never leave this module's struct.
 */
#ifndef TURNOUT_PROTO_AUTH_H
#define TURNOUT_PROTO_AUTH_H

#include "proto/wire.h"

#define AUTH_MAX_SECRET 128

struct auth_ring;

enum auth_verdict {
	AUTH_OK,
	AUTH_ABSENT,      /* expected, not there */
	AUTH_UNKNOWN_KEY, /* no such key id */
	AUTH_SCHEME,      /* another scheme than the key's */
	AUTH_IDENTITY,    /* the key is not that sender's (MSG-13) */
	AUTH_WRONG,       /* MAC does not match */
};

struct auth_ring *auth_ring_new(void);
void auth_ring_free(struct auth_ring *ring); /* wipes secrets */

/* scheme: WIRE_SCHEME_MD5 or WIRE_SCHEME_HMAC_SHA256; a key of the latter serves
 * WIRE_SCHEME_HMAC_SHA256_8 too, in IP packet only messages.
 * identities: who may use the key, count 0: anyone.  Copied.  Returns false if
 * the id is taken, or the scheme or the length (1 to AUTH_MAX_SECRET) is not allowed. */
bool auth_ring_add(struct auth_ring *ring, uint32_t id, unsigned scheme, const void *secret, size_t len,
		   const uint64_t *identities, size_t count);
/* The key to sign with; must be in the ring.  With none set nothing is signed. */
bool auth_ring_use(struct auth_ring *ring, uint32_t id);
/* Is a valid MAC expected of what comes in?  (SEC-2; true as soon as a key is in the ring.) */
bool auth_ring_expects(const struct auth_ring *ring);

/* Before wire_encode(): put the security segment for the signing key into m
 * (short MAC for IP packet only messages), or leave m alone if there is none. */
void auth_prepare(const struct auth_ring *ring, struct wire_msg *m);
/* After it: compute the MAC in place.  False if there is no segment for it though
 * a key is to sign, or its key or scheme is none of ours. */
bool auth_sign(struct auth_ring *ring, uint8_t *buf, size_t len);
/* Check a received message by what wire_peek() said.  buf is changed and restored.
 * AUTH_OK without a look at it when nothing is expected (SEC-2). */
enum auth_verdict auth_check(struct auth_ring *ring, uint8_t *buf, size_t len, const struct wire_header *h,
			     const struct wire_security *s);
const char *auth_verdict_name(enum auth_verdict v);

#endif
