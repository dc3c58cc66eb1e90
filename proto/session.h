/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who speaks, and is it new: incarnations, sequence windows and challenges
 * (MSG-13, SEC-4).
 *
 * For each peer identity: the incarnation that answered a challenge of ours,
 * and one replay window for what is addressed to us and one for what is
 * addressed to everybody (destination 0).  A message of an incarnation that
 * has not answered is not processed: a challenge goes out instead, and the
 * peer, having answered, sends its state again.
 *
 *            message of unknown incarnation            valid response
 *   (none) ------------------------------> challenged --------------> known
 *                                            ^   |  repeat after 200 ms |
 *                                            |   +----+                 |
 *                                            +---- new incarnation -----+  (the old one stays
 *                                                  known until the new one has answered)
 *
 * Pure: no sockets; time and randomness are parameters.
 */
#ifndef TURNOUT_PROTO_SESSION_H
#define TURNOUT_PROTO_SESSION_H

#include "proto/wire.h"

#define SESSION_WINDOW    1024 /* sequences behind the newest that may still arrive */
#define SESSION_MAX_PEERS 4096 /* identities remembered; a new one beyond that is refused */
#define SESSION_REPEAT_MS 200  /* before an unanswered challenge is sent again */

struct session;

enum session_verdict {
	SESSION_ACCEPT,     /* process it */
	SESSION_CHALLENGE,  /* drop it; send a challenge with *reply to where it came from */
	SESSION_ANSWER,     /* it was a challenge: send a response with *reply; then our state, or session_ask() */
	SESSION_KNOWN,      /* it was a valid response: the peer is known now */
	SESSION_PENDING,    /* drop: challenged a moment ago */
	SESSION_REPLAY,     /* drop: seen, or older than the window */
	SESSION_NOT_FOR_US, /* drop: another destination */
	SESSION_STALE,      /* drop: response with a nonce that is not outstanding */
	SESSION_OURSELVES,  /* drop: our own identity (loopback, or a misconfigured twin) */
	SESSION_FULL,       /* drop: too many peers */
	SESSION_COUNT,
};
const char *session_verdict_name(enum session_verdict v);

typedef void (*session_random)(void *ctx, void *bytes, size_t len);

struct session *session_new(uint64_t self, uint64_t incarnation, session_random random, void *ctx);
void session_free(struct session *s);

/*
 * Judge an authenticated message.  nonce: the nonce segment of a challenge or
 * response (NULL for other types).  *reply is set for CHALLENGE and ANSWER.
 */
enum session_verdict session_receive(struct session *s, const struct wire_header *h, const struct wire_nonce *nonce,
				     uint64_t now_ms, struct wire_nonce *reply);

/*
 * Ask back who challenged us in an incarnation that has not answered: a
 * challenge proves nothing, and a copy of it must not draw our state.
 * CHALLENGE: send one with *reply.  PENDING or FULL: nothing is to be sent.
 */
enum session_verdict session_ask(struct session *s, const struct wire_header *h, uint64_t now_ms,
				 struct wire_nonce *reply);

/* Fill source, incarnation, destination and the next sequence of a message to send. */
void session_stamp(struct session *s, uint64_t destination, struct wire_header *h);

/* The incarnation last known of a peer, 0 for none. */
uint64_t session_incarnation(const struct session *s, uint64_t peer);
/* Forget a peer (tests, operator). */
void session_forget(struct session *s, uint64_t peer);

#endif
