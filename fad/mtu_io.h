/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The least MTU of any way out of this router, so that the kernel is asked
 * about a route only for packets that may be too large for it.
 *
 * I/O through libmnl; must not know what it is for.
 */
#ifndef TURNOUT_FAD_MTU_IO_H
#define TURNOUT_FAD_MTU_IO_H

#include <stdint.h>

struct mtu;

/* An enum exitcode, after one line if it is not good.  Starts a thread, which has the caller's privileges of now. */
int mtu_open(struct mtu **m);
/* Never waits.  Of the links that are up, IPv6's own MTUs among them, as of a second ago, and of all routes that ever
 * had an `mtu` of their own; 0: not known (yet). */
uint32_t mtu_least(const struct mtu *m, uint64_t now_ms);
void mtu_close(struct mtu *m);

#endif
