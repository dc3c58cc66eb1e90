/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP errors, edited and made.
 *
 * Pure; must not know of tables or of what decides.  KEY-4, FA-7.
 */
#ifndef TURNOUT_FAD_PACKET_ERROR_H
#define TURNOUT_FAD_PACKET_ERROR_H

#include "fad/packet.h"
#include "fad/plan.h"

/*
 * Edit an ICMP error (p->embedded is not 0) as the flow it travels with is
 * edited: its destination and, if it is the flow's own, its source; and
 * what it embeds with source and destination exchanged.  n adjusts of sequence numbers likewise.
 * All checksums that are there are kept as right or as wrong as they are.
 */
void packet_error_edit(struct packet *p, const struct plan_edit *e, const struct plan_adjust *adjust, uint32_t n);

/* The largest that is made. */
#define PACKET_ERROR_MAX 1280

/*
 * Write "packet too big" (ICMP type 3 code 4, ICMPv6 type 2) about the packet at
 * `about`, of len bytes, to its source.  Returns its length, 0 if it cannot be made (no memory).
 */
size_t packet_error_too_big(const uint8_t *about, size_t len, uint32_t mtu, const struct addr *from,
			    uint8_t out[PACKET_ERROR_MAX]);

#endif
