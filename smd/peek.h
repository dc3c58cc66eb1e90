/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a manager wants to know of a punted packet beyond its key: what it
 * says of its flow's age, and whether it ends it.
 *
 * Pure; must not know what is done with the answer.
 */
#ifndef TURNOUT_SMD_PEEK_H
#define TURNOUT_SMD_PEEK_H

#include <stddef.h>
#include <stdint.h>

enum peek_sort {
	PEEK_SYN,      /* TCP: SYN without ACK */
	PEEK_SYN_ACK,  /* TCP: SYN with ACK */
	PEEK_RST,      /* TCP: RST */
	PEEK_MIDFLOW,  /* TCP: any other, or its header cannot be read */
	PEEK_DATAGRAM, /* not TCP */
	PEEK_ERROR,    /* an ICMP error about a packet of the reverse flow */
	PEEK_FRAGMENT, /* a later fragment: without a transport header, the agent knew whose it is (ACT-10) */
};

#define PEEK_FIN_FLAG 0x01
#define PEEK_RST_FLAG 0x04

/* The TCP flags of a packet; 0 when they cannot be read. */
uint8_t peek_flags(const uint8_t *packet, size_t len, uint8_t proto);
/* packet starts with its IP header and may be anything; proto is its flow key's. */
enum peek_sort peek_packet(const uint8_t *packet, size_t len, uint8_t proto);

#endif
