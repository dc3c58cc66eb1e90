/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The punt port: an AF_PACKET V2 ring with vnet headers to receive, sendmmsg()
 * with vnet headers to send.
 *
 * Small packets are copied and sent together; a large one, which is worth a
 * system call, is sent at once from where it lies, behind those waiting.
 * Must not know of affinities.
 */
#include "fad/port_io.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fad/classifier.h"
#include "fad/port_link_io.h"
#include "lib/exitcode.h"
#include "lib/log.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* A frame holds the largest IP packet, its Ethernet header and what the kernel puts before it. */
#define RING_FRAME       (66u << 10)
#define RING_BLOCK       (1u << 20)
#define RING_BLOCKS      69u
#define FRAMES_PER_BLOCK (RING_BLOCK / RING_FRAME)
#define RING_FRAMES      (RING_BLOCKS * FRAMES_PER_BLOCK) /* 1035 */
#define RING_BYTES       ((size_t)RING_BLOCKS * RING_BLOCK)
#define RING_RESERVE     6 /* puts the IP header on a 16-byte boundary */

#define BATCH             64 /* packets a system call; frames between two flushes */
#define BATCHES_PER_EVENT 4  /* then other events have their turn */
#define COPY_LIMIT        2048
#define SEND_BUFFER       (8 << 20)
#define SEND_TRIES        3 /* in one flush */
#define LOG_PER_SECOND    5

/* What precedes an IP packet in a message to or from the socket. */
struct head {
	struct virtio_net_hdr vnet;
	uint8_t dst[6], src[6];
	uint8_t type[2];
};
_Static_assert(sizeof(struct head) == 24, "no padding");

struct slot {
	struct head head;
	struct iovec iov[2];
	uint8_t copy[COPY_LIMIT];
};

struct port {
	struct port_link link;
	const struct port_handler *handler;
	void *ctx;
	sd_event *loop;
	sd_event_source *source;
	int rx, tx;
	uint8_t *ring;
	uint32_t next; /* frame */

	struct slot *slots;
	struct mmsghdr messages[BATCH];
	unsigned queued;

	struct port_counters counters;
	struct log_limit limit;
};

/* ---- receiving ---- */

static struct tpacket2_hdr *frame(const struct port *port, uint32_t i)
{
	size_t offset = (size_t)(i / FRAMES_PER_BLOCK) * RING_BLOCK + (size_t)(i % FRAMES_PER_BLOCK) * RING_FRAME;

	return (struct tpacket2_hdr *)(void *)(port->ring + offset);
}

/* From offsets in the frame to offsets in the IP packet.  False: they do not fit it. */
static bool read_offload(const struct virtio_net_hdr *v, struct packet *p)
{
	struct packet_offload *o = &p->offload;

	*o = (struct packet_offload){.gso_ecn = (v->gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0};
	if (v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (v->csum_start < ETH_HLEN || (uint32_t)v->csum_start - ETH_HLEN + v->csum_offset + 2 > p->len)
			return false;
		o->partial = true;
		o->csum_start = (uint16_t)(v->csum_start - ETH_HLEN);
		o->csum_offset = v->csum_offset;
	}
	switch (v->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		o->gso_type = PACKET_GSO_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		o->gso_type = PACKET_GSO_TCP6;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		o->gso_type = PACKET_GSO_UDP_L4;
		break;
	default:
		return false;
	}
	o->gso_size = v->gso_size;
	return o->gso_size != 0;
}

static bool is_punt(const struct head *head)
{
	return head->src[0] == 0x02 && (head->src[1] == CLASSIFIER_MAC_PUNT || head->src[1] == CLASSIFIER_MAC_GUARDED);
}

/* Dropped already, and counted where it was. */
static bool is_dropped(const struct head *head)
{
	return head->src[0] == 0x02 && head->src[1] >= CLASSIFIER_MAC_DROPPED &&
	       head->src[1] < CLASSIFIER_MAC_DROPPED + CLASSIFIER_COUNTERS;
}

static uint32_t index_of(const uint8_t mac[6])
{
	return (uint32_t)mac[2] << 24 | (uint32_t)mac[3] << 16 | (uint32_t)mac[4] << 8 | mac[5];
}

static void take(struct port *port, const struct tpacket2_hdr *h)
{
	uint8_t *ethernet = (uint8_t *)(uintptr_t)h + h->tp_mac;
	struct packet p = {0};
	enum packet_fault fault;
	struct head head;

	if (h->tp_snaplen < ETH_HLEN)
		return;
	memcpy(&head, ethernet - sizeof(head.vnet), sizeof(head));
	if (is_dropped(&head) && port->handler->dropped)
		port->handler->dropped(port->ctx, head.src[1] - CLASSIFIER_MAC_DROPPED, ethernet + ETH_HLEN,
				       h->tp_snaplen - ETH_HLEN, index_of(head.src));
	/* The kernel's own chatter on the pair (multicast listeners) is none of ours. */
	if (!is_punt(&head))
		return;
	port->counters.received++;
	port->counters.received_bytes += h->tp_len - ETH_HLEN;
	p.ifindex = index_of(head.src);
	p.guarded = head.src[1] == CLASSIFIER_MAC_GUARDED;
	fault = h->tp_snaplen < h->tp_len ? PACKET_SHORT
					  : packet_parse(&p, ethernet + ETH_HLEN, h->tp_snaplen - ETH_HLEN);
	if (fault == PACKET_OK && !read_offload(&head.vnet, &p))
		fault = PACKET_HEADER;
	/* What is redirected or wrapped does not pass the kernel's own look at it. */
	if (fault == PACKET_OK)
		fault = packet_verify(&p);
	if (fault == PACKET_OK)
		port->handler->receive(port->ctx, &p);
	else
		port->handler->bad(port->ctx, fault, ethernet + ETH_HLEN, h->tp_snaplen - ETH_HLEN);
}

/* One batch; false: the ring is empty. */
static bool take_batch(struct port *port)
{
	unsigned n;

	for (n = 0; n < BATCH; n++) {
		struct tpacket2_hdr *h = frame(port, port->next);

		if (!(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			break;
		take(port, h);
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		port->next = (port->next + 1) % RING_FRAMES;
	}
	if (n > 0 && port->handler->batch_end)
		port->handler->batch_end(port->ctx);
	port_flush(port);
	return n == BATCH;
}

/* Somebody took an end down, or removed the pair.  Without it the classifier redirects into nowhere: end, so that
 * the heartbeat does, and let whoever supervises us start anew. */
static void on_error(struct port *port)
{
	int error = 0;
	socklen_t len = sizeof(error);

	(void)getsockopt(port->rx, SOL_SOCKET, SO_ERROR, &error, &len);
	if (port_link_up(&port->link) == 0) {
		log_warning("punt port %s: %s; it is up again", port->link.agent_name, strerror(error));
		return;
	}
	log_error("punt port %s is gone (%s): ending", port->link.agent_name, strerror(error));
	port->source = sd_event_source_disable_unref(port->source);
	sd_event_exit(port->loop, EXITCODE_INTERFACE);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct port *port = ctx;

	(void)source;
	(void)fd;
	if (events & (EPOLLERR | EPOLLHUP))
		on_error(port);
	for (unsigned i = 0; i < BATCHES_PER_EVENT; i++)
		if (!take_batch(port))
			break;
	return 0;
}

/* ---- sending ---- */

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void count_drop(struct port *port, int error)
{
	uint32_t missed;

	port->counters.send_drops++;
	if (log_allowed(&port->limit, monotonic_ms(), LOG_PER_SECOND, &missed))
		log_warning("punt port %s: a packet was not taken: %s (%llu so far)", port->link.agent_name,
			    strerror(error), (unsigned long long)port->counters.send_drops);
}

/* Worth another try?  Waits a moment if the socket's buffer is what is full. */
static bool is_passing(const struct port *port, int error, unsigned *tries)
{
	struct pollfd p = {.fd = port->tx, .events = POLLOUT};

	if (error == EINTR)
		return true;
	if ((error != EAGAIN && error != ENOBUFS) || (*tries)++ >= SEND_TRIES)
		return false;
	poll(&p, 1, 1);
	return true;
}

/* True: the last one of those queued went. */
static bool flush(struct port *port)
{
	unsigned done = 0, tries = 0;
	bool sent = true;

	while (done < port->queued) {
		int n = sendmmsg(port->tx, port->messages + done, port->queued - done, MSG_DONTWAIT);

		sent = true;
		for (int i = 0; i < n; i++, done++) {
			port->counters.sent++;
			port->counters.sent_bytes += port->slots[done].iov[1].iov_len;
		}
		if (n <= 0 && !is_passing(port, errno, &tries)) {
			count_drop(port, errno);
			sent = false;
			done++;
		}
	}
	port->queued = 0;
	return sent;
}

void port_flush(struct port *port)
{
	flush(port);
}

static void write_offload(const struct packet *p, struct virtio_net_hdr *v)
{
	static const uint8_t types[] = {[PACKET_GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
					[PACKET_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
					[PACKET_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
					[PACKET_GSO_UDP_L4] = VIRTIO_NET_HDR_GSO_UDP_L4};
	const struct packet_offload *o = &p->offload;

	*v = (struct virtio_net_hdr){0};
	if (o->partial) {
		v->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		v->csum_start = (uint16_t)(o->csum_start + ETH_HLEN);
		v->csum_offset = o->csum_offset;
	}
	if (!o->gso_size || o->gso_type >= sizeof(types))
		return;
	v->gso_type = types[o->gso_type] | (o->gso_ecn ? VIRTIO_NET_HDR_GSO_ECN : 0);
	v->gso_size = o->gso_size;
	/* What the kernel makes linear; the rest goes into pages. */
	v->hdr_len = (uint16_t)(ETH_HLEN + p->payload);
}

static void write_head(const struct packet *p, uint32_t forward, struct head *head)
{
	static const uint8_t kernel_end[6] = {CLASSIFIER_MAC_KERNEL_END};
	uint16_t type = p->data[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;

	write_offload(p, &head->vnet);
	memcpy(head->dst, kernel_end, sizeof(head->dst));
	head->src[0] = 0x02;
	head->src[1] = forward ? CLASSIFIER_MAC_FORWARD : CLASSIFIER_MAC_ROUTE;
	head->src[2] = (uint8_t)(forward >> 24);
	head->src[3] = (uint8_t)(forward >> 16);
	head->src[4] = (uint8_t)(forward >> 8);
	head->src[5] = (uint8_t)forward;
	head->type[0] = (uint8_t)(type >> 8);
	head->type[1] = (uint8_t)type;
}

bool port_send(struct port *port, const struct packet *p, uint32_t forward)
{
	struct slot *s = &port->slots[port->queued];
	bool large = p->len > COPY_LIMIT;

	write_head(p, forward, &s->head);
	s->iov[1] = (struct iovec){.iov_base = large ? p->data : s->copy, .iov_len = p->len};
	if (!large)
		memcpy(s->copy, p->data, p->len);
	port->queued++;
	return large || port->queued == BATCH ? flush(port) : true;
}

/* ---- opening ---- */

static int open_socket(const struct port *port, uint16_t protocol, int fd)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = (int)port->link.agent_ifindex};

	return bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

static int set(int fd, int option, int value)
{
	return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int map_ring(struct port *port)
{
	struct tpacket_req request = {.tp_block_size = RING_BLOCK,
				      .tp_block_nr = RING_BLOCKS,
				      .tp_frame_size = RING_FRAME,
				      .tp_frame_nr = RING_FRAMES};
	void *at;

	if (setsockopt(port->rx, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) < 0)
		return -errno;
	at = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, port->rx, 0);
	if (at == MAP_FAILED)
		return -errno;
	port->ring = at;
	return 0;
}

static int open_receiver(struct port *port)
{
	int r;

	port->rx = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (port->rx < 0)
		return -errno;
	r = set(port->rx, PACKET_VERSION, TPACKET_V2);
	if (r == 0)
		r = set(port->rx, PACKET_VNET_HDR, 1);
	if (r == 0)
		r = set(port->rx, PACKET_RESERVE, RING_RESERVE);
	if (r == 0)
		r = set(port->rx, PACKET_IGNORE_OUTGOING, 1);
	if (r == 0)
		r = map_ring(port);
	return r == 0 ? open_socket(port, ETH_P_ALL, port->rx) : r;
}

static int open_sender(struct port *port)
{
	int size = SEND_BUFFER, r;

	port->tx = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (port->tx < 0)
		return -errno;
	if (setsockopt(port->tx, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(port->tx, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r = set(port->tx, PACKET_VNET_HDR, 1);
	if (r == 0)
		r = set(port->tx, PACKET_QDISC_BYPASS, 1);
	return r == 0 ? open_socket(port, 0, port->tx) : r;
}

static int prepare(struct port *port)
{
	int r;

	port->slots = calloc(BATCH, sizeof(*port->slots));
	if (!port->slots)
		return -ENOMEM;
	for (unsigned i = 0; i < BATCH; i++) {
		struct slot *s = &port->slots[i];

		s->iov[0] = (struct iovec){.iov_base = &s->head, .iov_len = sizeof(s->head)};
		port->messages[i].msg_hdr = (struct msghdr){.msg_iov = s->iov, .msg_iovlen = 2};
	}
	r = open_receiver(port);
	if (r == 0)
		r = open_sender(port);
	return r == 0 ? sd_event_add_io(port->loop, &port->source, port->rx, EPOLLIN, on_readable, port) : r;
}

static int explain(const struct port *port, int error)
{
	bool privilege = error == EPERM || error == EACCES;
	bool old = error == ENOPROTOOPT || error == EAFNOSUPPORT;

	log_error("punt port %s: packet socket: %s%s", port->link.agent_name, strerror(error),
		  privilege ? ": CAP_NET_RAW is needed"
		  : old     ? ": Linux 4.20 or later with CONFIG_PACKET is needed"
			    : "");
	return privilege ? EXITCODE_PRIVILEGE : old ? EXITCODE_KERNEL : EXITCODE_FAILURE;
}

int port_open(struct port **out, sd_event *loop, const char *prefix, const struct port_handler *handler, void *ctx)
{
	struct port *port = calloc(1, sizeof(*port));
	int status, r;

	*out = NULL;
	if (!port) {
		log_error("punt port: %s", strerror(ENOMEM));
		return EXITCODE_FAILURE;
	}
	port->handler = handler;
	port->ctx = ctx;
	port->loop = sd_event_ref(loop);
	port->rx = port->tx = -1;
	status = port_link_open(&port->link, prefix);
	if (status == EXITCODE_OK) {
		r = prepare(port);
		if (r < 0)
			status = explain(port, -r);
	}
	if (status != EXITCODE_OK) {
		port_close(port, false);
		return status;
	}
	*out = port;
	return EXITCODE_OK;
}

void port_close(struct port *port, bool remove)
{
	if (!port)
		return;
	if (port->tx >= 0)
		port_flush(port);
	sd_event_source_disable_unref(port->source);
	sd_event_unref(port->loop);
	if (port->ring)
		munmap(port->ring, RING_BYTES);
	if (port->rx >= 0)
		close(port->rx);
	if (port->tx >= 0)
		close(port->tx);
	if (remove && port->link.kernel_ifindex && port_link_remove(&port->link) < 0)
		log_debug("punt port %s: not removed", port->link.kernel_name);
	free(port->slots);
	free(port);
}

uint32_t port_kernel_ifindex(const struct port *port)
{
	return port->link.kernel_ifindex;
}

uint32_t port_agent_ifindex(const struct port *port)
{
	return port->link.agent_ifindex;
}

void port_read_counters(struct port *port, struct port_counters *c)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);

	/* Reading clears them. */
	if (getsockopt(port->rx, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
		port->counters.ring_drops += stats.tp_drops;
	*c = port->counters;
}
