/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The punt port: a veth pair whose one end the classifier redirects to, and
 * whose other end is read and written here through an AF_PACKET V2 ring with
 * vnet headers.  What is sent comes in at the kernel's end and is routed there.
 *
 * I/O; must not know of affinities.  ARCH-1, FA-7, FA-10.
 */
#ifndef TURNOUT_FAD_PORT_IO_H
#define TURNOUT_FAD_PORT_IO_H

#include <systemd/sd-event.h>

#include "fad/packet.h"

struct port;

/* A punted packet: parsed, offload and ifindex set.  data may be edited in
 * place and is gone when the function returns. */
typedef void (*port_receive)(void *ctx, struct packet *p);
/* A frame that is not a parsable IP packet; data: as much of it as there is. */
typedef void (*port_bad)(void *ctx, enum packet_fault fault, const uint8_t *data, uint32_t len);
/* A packet dropped in the kernel, which somebody is to look at; why: an enum classifier_counter. */
typedef void (*port_dropped)(void *ctx, uint32_t why, const uint8_t *data, uint32_t len, uint32_t ifindex);
/* After each batch of received packets; optional. */
typedef void (*port_batch_end)(void *ctx);

struct port_handler {
	port_receive receive;
	port_bad bad;
	port_batch_end batch_end;
	port_dropped dropped; /* optional */
};

/*
 * Create (or take over) the pair PREFIX0/PREFIX1, set what the kernel needs
 * (forwarding, rp_filter, no addresses, no ARP), open the ring.
 * Returns 0 or an enum exitcode after one clear log line.
 */
int port_open(struct port **port, sd_event *loop, const char *prefix, const struct port_handler *handler, void *ctx);
/* remove: also delete the veth pair. */
void port_close(struct port *port, bool remove);

uint32_t port_kernel_ifindex(const struct port *port); /* PREFIX0: where the classifier redirects to */
uint32_t port_agent_ifindex(const struct port *port);

/*
 * Queue an edited packet for the kernel to route.  forward 0: by its
 * destination address.  Else an index given by classifier_forward(): to that
 * next hop (FIX-2).  p->offload goes along.  Copied or sent before return;
 * packets of one flow keep their order.  false: dropped, counted.
 */
bool port_send(struct port *port, const struct packet *p, uint32_t forward);
void port_flush(struct port *port);

struct port_counters {
	uint64_t received, received_bytes, sent, sent_bytes, send_drops, ring_drops;
};
void port_read_counters(struct port *port, struct port_counters *c);

#endif
