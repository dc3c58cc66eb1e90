/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Super-packets cut into the packets they stand for, and partial checksums
 * completed, so that a packet can leave this machine inside a message (MSG-11).
 *
 * Pure; must not know of tables or sockets.
 */
#ifndef TURNOUT_FAD_SEGMENT_H
#define TURNOUT_FAD_SEGMENT_H

#include "fad/packet.h"

/* How many packets p stands for; 1 if it is not a super-packet. */
size_t segment_count(const struct packet *p);

/*
 * Write packet number i (0-based) of p into buf with complete checksums:
 * lengths, IPv4 identification, TCP sequence numbers and flags (FIN and PSH only on
 * the last, CWR only on the first) as the kernel's own segmentation does.
 * Returns its length, or 0 if it does not fit in cap.
 */
size_t segment_write(const struct packet *p, size_t i, uint8_t *buf, size_t cap);

#endif
