/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a service message came from, or goes.  A value, without sockets, so
 * that pure modules can name their peers.
 */
#ifndef TURNOUT_LIB_PEER_H
#define TURNOUT_LIB_PEER_H

#include "lib/addr.h"

struct endpoint_peer {
	uint64_t identity; /* 0: group or unknown */
	struct addr addr;
	uint16_t port; /* host order */
};

#endif
