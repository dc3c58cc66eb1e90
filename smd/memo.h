/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a manager has its agents keep for it, as SM interest data: an agent
 * returns it untouched with each match and refresh (MSG-10).  It says which
 * wildcard asked, or what was decided, so that a manager without a memory of
 * its own (just restarted) learns from the agents what it had decided.
 *
 * Addresses and ports, never positions in a configuration or a table: those
 * may be others after a restart.
 *
 *   0 version u8 (1)   1 kind u8   2 family u8   3 zero u8   4 precedence u32
 *   a balanced flow:  8 VIP port u16   10 server port u16   12 VIP   then server
 *   MEMO_MASQUERADE, then:  client   client's port u16   port instead of it u16
 *
 * Pure; must not know what is decided.
 */
#ifndef TURNOUT_SMD_MEMO_H
#define TURNOUT_SMD_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"

enum memo_kind {
	MEMO_NONE,       /* nothing, or nothing that could be read */
	MEMO_WILDCARD,   /* a wildcard: nothing is decided */
	MEMO_NAT,        /* a balanced flow, either direction */
	MEMO_PASS,       /* a reverse flow left unchanged */
	MEMO_DROP,       /* nothing could serve the flow */
	MEMO_DISPATCH,   /* a balanced flow whose packets reach the server as they are */
	MEMO_MASQUERADE, /* a balanced flow whose server sees the VIP instead of the client, either direction */
	MEMO_KINDS,
};

struct memo {
	uint8_t kind;                    /* enum memo_kind */
	uint32_t precedence;             /* of the affinity it came with */
	struct addr vip, server, client; /* of one family; client: MEMO_MASQUERADE */
	uint16_t vip_port, server_port;
	uint16_t client_port, port; /* MEMO_MASQUERADE */
};

#define MEMO_MAX 64 /* bytes */

size_t memo_write(const struct memo *memo, uint8_t out[MEMO_MAX]);
/* What cannot be read gives MEMO_NONE and false. */
bool memo_read(const uint8_t *data, size_t len, struct memo *memo);

#endif
