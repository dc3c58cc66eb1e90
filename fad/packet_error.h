/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP errors, edited and made; TCP resets made.
 *
 * Pure; must not know of tables or of what decides.  KEY-4, FA-7, FIX-3.
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

/* Likewise "unreachable": prohibited by an administrator (ICMP code 13, ICMPv6 code 1), else no such port (3, 4). */
size_t packet_error_unreachable(const uint8_t *about, size_t len, bool prohibited, const struct addr *from,
				uint8_t out[PACKET_ERROR_MAX]);

/*
 * May an error, or a reset, be sent about it at all?  Not about an error, a redirect or a later fragment, nor to or
 * about what is no single host: RFC 1812, 4.3.2.7; RFC 4443, 2.4 (e).
 */
bool packet_answerable(const struct packet *p);

/* Is it a TCP segment that a reset may answer?  Not a reset, nor a fragment; its checksum is not looked at. */
bool packet_resettable(const struct packet *p);

/* The largest that is made. */
#define PACKET_RESET_MAX 60

/*
 * Write the reset that whoever does not know the connection answers a TCP segment with (RFC 9293, 3.10.7.1): from the
 * address and port that it was sent to.  Returns its length; 0: it is not resettable, has a wrong checksum, or there is
 * no memory.
 */
size_t packet_reset(const struct packet *p, uint8_t out[PACKET_RESET_MAX]);

#endif
