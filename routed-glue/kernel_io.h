/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TUN device and the kernel's routing table.
 *
 * The device is not persistent: when this process ends, however it ends, the
 * kernel removes it and every route out of it.  It has no queue and nobody
 * reads it: a packet routed into it is dropped and counted by the kernel.
 *
 * I/O through libmnl; must not know of agents, nor of what is wanted.
 * Errors are negative errno values unless it says otherwise.  ACT-3.
 */
#ifndef TURNOUT_ROUTED_GLUE_KERNEL_IO_H
#define TURNOUT_ROUTED_GLUE_KERNEL_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routed-glue/diff.h"

/* Operations sent together, and acknowledged before the next are sent. */
#define KERNEL_BATCH 256

struct kernel_conf {
	const char *interface; /* borrowed; must outlive the struct kernel */
	struct addr address;   /* IPv4, given to the device as a /32 */
	uint8_t protocol;      /* rtm_protocol of our routes */
};

struct kernel;

/*
 * Create the device and open the sockets.  Returns EXITCODE_OK, or another
 * enum exitcode after one line in the log.
 */
int kernel_open(struct kernel **k, const struct kernel_conf *conf);
void kernel_close(struct kernel *k); /* the device and its routes go */

/*
 * Is the device there, up, of the right name and with its address?  If not,
 * put that right; *repaired tells.  The routes may be gone afterwards: dump.
 */
int kernel_repair(struct kernel *k, bool *repaired);

/* Our routes: of our protocol, out of our device, in the main table.  *routes is allocated. */
int kernel_dump(struct kernel *k, struct route **routes, size_t *count);

/*
 * Up to KERNEL_BATCH operations.  errors[i] becomes 0 or the (positive) errno
 * of operation i.  A negative return means that acknowledgements were lost
 * (-ENOBUFS) or the socket failed: dump, and start from what is there.
 */
int kernel_apply(struct kernel *k, const struct route_op *ops, size_t count, int *errors);

/* What the monitor socket may have to say. */
struct kernel_watch {
	void (*check)(void *ctx);                         /* device or routes changed: repair and dump */
	void (*freed)(void *ctx, const struct prefix *p); /* somebody else's route on it was removed */
};
int kernel_monitor_fd(const struct kernel *k);
void kernel_monitor_read(struct kernel *k, const struct kernel_watch *watch, void *ctx);

/* Packets dropped in the device since it was created. */
uint64_t kernel_dropped(struct kernel *k);

#endif
