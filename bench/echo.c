/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small exchanges over sockets: what the network and system calls alone take.
 *
 *     echo udp-serve ADDRESS PORT            datagrams back, in batches
 *     echo udp-ask ADDRESS PORT SECONDS      64 datagrams of 128 bytes in flight; how many came back a second
 *     echo tcp-serve ADDRESS PORT            bytes back, any number of connections
 *     echo tcp-ask ADDRESS PORT SECONDS      one connection, 64 bytes there and back; quantiles of the time in us
 *
 * Answers are lines of JSON.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>

#include "bench/tools.h"

#define BATCH    64
#define DATAGRAM 128
#define REQUEST  64
#define LOST_MS  20
#define SAMPLES  2000000

struct batch {
	struct mmsghdr m[BATCH];
	struct iovec io[BATCH];
	struct sockaddr_in from[BATCH];
	uint8_t data[BATCH][DATAGRAM];
};

static void batch_init(struct batch *b, bool named)
{
	memset(b, 0, sizeof(*b));
	for (int i = 0; i < BATCH; i++) {
		b->io[i] = (struct iovec){b->data[i], DATAGRAM};
		b->m[i].msg_hdr.msg_iov = &b->io[i];
		b->m[i].msg_hdr.msg_iovlen = 1;
		if (named) {
			b->m[i].msg_hdr.msg_name = &b->from[i];
			b->m[i].msg_hdr.msg_namelen = sizeof(b->from[i]);
		}
	}
}

static int open_socket(const char *address, const char *port, int type, bool serve)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
	const int one = 1;
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1)
		tools_fail(address, EINVAL);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if ((serve ? bind : connect)(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		tools_fail(address, errno);
	if (type == SOCK_STREAM && serve && listen(fd, 128) < 0)
		tools_fail(address, errno);
	if (type == SOCK_STREAM && !serve)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static void udp_serve(int fd)
{
	struct batch *b = malloc(sizeof(*b));

	if (!b)
		tools_fail("echo", ENOMEM);
	batch_init(b, true);
	ready();
	for (;;) {
		int n = recvmmsg(fd, b->m, BATCH, MSG_WAITFORONE, NULL);

		if (n < 0 && errno != EINTR)
			tools_fail("recvmmsg", errno);
		for (int sent = 0, r; sent < n; sent += r)
			if ((r = sendmmsg(fd, b->m + sent, (unsigned)(n - sent), 0)) <= 0)
				break;
	}
}

static void udp_ask(int fd, double seconds)
{
	uint64_t begin = tools_now_ns(), end = begin + (uint64_t)(seconds * 1e9), back = 0;
	struct batch *b = malloc(sizeof(*b));
	int free_slots = BATCH;

	if (!b)
		tools_fail("echo", ENOMEM);
	batch_init(b, false);
	while (tools_now_ns() < end) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int n = free_slots ? sendmmsg(fd, b->m, (unsigned)free_slots, 0) : 0;

		free_slots -= n > 0 ? n : 0;
		n = recvmmsg(fd, b->m, BATCH, MSG_DONTWAIT, NULL);
		if (n <= 0 && poll(&p, 1, LOST_MS) == 0)
			n = 0, free_slots = BATCH; /* lost: begin again */
		back += n > 0 ? (uint64_t)n : 0;
		free_slots += n > 0 ? n : 0;
		if (free_slots > BATCH)
			free_slots = BATCH;
	}
	printf("{\"per_s\": %.1f}\n", (double)back * 1e9 / (double)(tools_now_ns() - begin));
	free(b);
}

static bool tcp_answer(int fd)
{
	uint8_t data[4096];
	ssize_t n = read(fd, data, sizeof(data));

	return n > 0 && write(fd, data, (size_t)n) == n;
}

static void tcp_serve(int listening)
{
	int poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN, .data.fd = listening};
	const int one = 1;

	epoll_ctl(poller, EPOLL_CTL_ADD, listening, &e);
	ready();
	while (epoll_wait(poller, &e, 1, -1) == 1 || errno == EINTR) {
		int fd = e.data.fd;

		if (fd != listening) {
			if (!tcp_answer(fd))
				close(fd);
			continue;
		}
		fd = accept(listening, NULL, NULL);
		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		e = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
		epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Of sorted times in ns. */
static double quantile_us(const uint32_t *times, size_t count, size_t percent)
{
	const size_t place = count * percent / 100;

	return times[place] / 1e3;
}

static void tcp_ask(int fd, double seconds)
{
	uint64_t end = tools_now_ns() + (uint64_t)(seconds * 1e9), before, after = 0;
	uint32_t *times = calloc(SAMPLES, sizeof(*times));
	uint8_t data[REQUEST] = {0};
	size_t count = 0;

	if (!times)
		tools_fail("echo", ENOMEM);
	while (count < SAMPLES && (before = tools_now_ns()) < end) {
		if (write(fd, data, sizeof(data)) != sizeof(data) ||
		    recv(fd, data, sizeof(data), MSG_WAITALL) != sizeof(data))
			tools_fail("exchange", errno);
		after = tools_now_ns();
		times[count++] = (uint32_t)(after - before);
	}
	qsort(times, count, sizeof(*times), compare);
	printf("{\"count\": %zu, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", count, quantile_us(times, count, 50),
	       quantile_us(times, count, 99));
	free(times);
}

int main(int argc, char **argv)
{
	bool udp, serve;
	int fd;

	if (argc < 4 || (strcmp(argv[1], "udp-serve") != 0 && strcmp(argv[1], "tcp-serve") != 0 && argc != 5)) {
		fputs("usage: echo udp-serve|udp-ask|tcp-serve|tcp-ask ADDRESS PORT [SECONDS]\n", stderr);
		return 2;
	}
	udp = !strncmp(argv[1], "udp", 3);
	serve = !strcmp(argv[1] + 4, "serve");
	fd = open_socket(argv[2], argv[3], udp ? SOCK_DGRAM : SOCK_STREAM, serve);
	if (serve)
		(udp ? udp_serve : tcp_serve)(fd);
	else
		(udp ? udp_ask : tcp_ask)(fd, strtod(argv[4], NULL));
	close(fd);
	return 0;
}
