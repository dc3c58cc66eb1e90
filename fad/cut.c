/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPv4 fragments made, see cut.h.
 */
#include "fad/cut.h"

#include <stdbool.h>
#include <string.h>

#include "fad/checksum.h"

#define HEADER        20
#define MORE          0x2000
#define FLAGS         0xe000
#define OFFSET        0x1fff
#define OPTION_END    0
#define OPTION_NOP    1
#define OPTION_COPIED 0x80
#define UNIT          8u

static size_t header_of(const uint8_t *packet)
{
	return (size_t)(packet[0] & 0x0f) * 4;
}

/* Bytes of the datagram in each piece but the last. */
static size_t share(const uint8_t *packet, size_t mtu)
{
	size_t header = header_of(packet);

	return mtu < header + UNIT ? 0 : (mtu - header) / UNIT * UNIT;
}

size_t cut_count(const uint8_t *packet, size_t len, size_t mtu)
{
	size_t each = share(packet, mtu), bytes = len - header_of(packet);

	if (len <= mtu)
		return 1;
	/* No datagram is that long.  A piece's place would run over into the flags. */
	if (((size_t)packet[6] << 8 | packet[7]) % (OFFSET + 1) * UNIT + bytes > UINT16_MAX)
		return 0;
	return each ? (bytes + each - 1) / each : 0;
}

/* Of options only those that say so are in every fragment; the others' places stay. */
static void blank_options(uint8_t *packet)
{
	size_t end = header_of(packet), n;

	for (size_t at = HEADER; at < end && packet[at] != OPTION_END; at += n) {
		n = packet[at] == OPTION_NOP ? 1 : at + 1 < end ? packet[at + 1] : 0;
		if (n < 1 || (n < 2 && packet[at] != OPTION_NOP) || n > end - at)
			return; /* malformed: as it is */
		if (!(packet[at] & OPTION_COPIED))
			memset(packet + at, OPTION_NOP, n);
	}
}

static void write16(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

size_t cut_write(const uint8_t *packet, size_t len, size_t mtu, size_t i, uint8_t *out, size_t cap)
{
	size_t count = cut_count(packet, len, mtu), header = header_of(packet);
	size_t from = i * share(packet, mtu), bytes = len - header;
	unsigned where = (unsigned)(packet[6] << 8 | packet[7]);
	bool last = i + 1 == count;
	uint16_t sum;

	if (i >= count)
		return 0;
	bytes -= from;
	if (!last && bytes > share(packet, mtu))
		bytes = share(packet, mtu);
	if (header + bytes > cap)
		return 0;
	memcpy(out, packet, header);
	memcpy(out + header, packet + header + from, bytes);
	if (i > 0)
		blank_options(out);
	write16(out + 2, header + bytes);
	write16(out + 6, (where & FLAGS) | (last ? 0 : MORE) | ((where & OFFSET) + from / UNIT));
	memset(out + 10, 0, 2);
	sum = checksum_finish(checksum_add(0, out, header));
	memcpy(out + 10, &sum, 2);
	return header + bytes;
}
