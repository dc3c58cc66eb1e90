/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An IPv4 packet cut into fragments, as a router does whose next link is too
 * narrow for it (RFC 791, RFC 1812 4.2.2.7).
 *
 * Pure; must not know of tables or of where the pieces go.  FA-7.
 */
#ifndef TURNOUT_FAD_CUT_H
#define TURNOUT_FAD_CUT_H

#include <stddef.h>
#include <stdint.h>

/* How many pieces of at most mtu bytes make up this well-formed packet, perhaps a fragment itself; 0: mtu is too
 * small, or it is a fragment that ends where no datagram does. */
size_t cut_count(const uint8_t *packet, size_t len, size_t mtu);
/*
 * Write piece i (from 0).  Options that are for the first one only are blank in
 * the others.  Returns its length; 0: there is no such piece, or it does not fit in cap.
 */
size_t cut_write(const uint8_t *packet, size_t len, size_t mtu, size_t i, uint8_t *out, size_t cap);

#endif
