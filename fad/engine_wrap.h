/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The outer headers of a tunnel: IP in IP and IP in UDP, over either family,
 * around either family (SVC-10).
 *
 * Pure; must not know of plans, tables or routes.
 */
#ifndef TURNOUT_FAD_ENGINE_WRAP_H
#define TURNOUT_FAD_ENGINE_WRAP_H

#include "proto/wire.h"

#define WRAP_HOP_LIMIT 64 /* where the tunnel's own is 0 */
/* Flows are told apart by their source port, so that routers on the way spread them. */
#define WRAP_FIRST_PORT 49152

/* Bytes before a packet: 20 to 48. */
uint32_t wrap_overhead(const struct wire_tunnel *t);

/*
 * Take a hop off the packet of len bytes at `packet`, a whole IP packet with
 * complete checksums and a hop limit of at least 1, and write the outer headers
 * into the wrap_overhead() bytes before it.  flow: any hash of its flow; id:
 * the outer IPv4 identification.  Returns the length in all; 0: too large.
 */
size_t wrap_write(const struct wire_tunnel *t, const struct addr *source, uint8_t *packet, uint32_t len, uint64_t flow,
		  uint16_t id);

#endif
