/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments by themselves: every byte once, in its place, whatever the sizes.
 */
#include "fad/cut.h"

#include "fad/engine_fixture.h"

#define ROOM 4096

/* UDP with so many bytes and these option bytes; a fragment at that place. */
static size_t datagram(uint8_t *at, size_t bytes, const uint8_t *options, size_t option_bytes, unsigned where)
{
	struct flow_key k = bed_key(IPPROTO_UDP, "198.51.100.7", 5000, "203.0.113.10", 53);
	size_t len = bed_write(at, &k, 0, bytes);
	uint16_t sum;

	for (size_t i = 0; i < bytes; i++)
		at[28 + i] = (uint8_t)(i * 7 + i / 256);
	memmove(at + 20 + option_bytes, at + 20, len - 20);
	if (option_bytes)
		memcpy(at + 20, options, option_bytes);
	at[0] = (uint8_t)(0x45 + option_bytes / 4);
	len += option_bytes;
	bed_put16(at + 2, (unsigned)len);
	bed_put16(at + 4, 0x1234);
	bed_put16(at + 6, where);
	bed_put16(at + 10, 0);
	sum = checksum_finish(checksum_add(0, at, 20 + option_bytes));
	memcpy(at + 10, &sum, 2);
	return len;
}

static void check_pieces(size_t bytes, size_t mtu, size_t option_bytes, unsigned where)
{
	static const uint8_t options[8] = {0x94, 4, 0, 0, 7, 3, 4, 0}; /* router alert is copied, record route is not */
	static const uint8_t later[8] = {0x94, 4, 0, 0, 1, 1, 1, 0};
	uint8_t packet[ROOM], whole[ROOM], piece[ROOM];
	size_t len = datagram(packet, bytes, options, option_bytes, where), header = 20 + option_bytes, at = 0;
	size_t n = cut_count(packet, len, mtu);

	ck_assert_uint_gt(n, 0);
	for (size_t i = 0; i < n; i++) {
		size_t got = cut_write(packet, len, mtu, i, piece, sizeof(piece));
		struct packet p = {0};

		ck_assert_uint_gt(got, header);
		ck_assert_uint_le(got, mtu);
		ck_assert_int_eq(packet_parse(&p, piece, got), PACKET_OK);
		ck_assert_int_eq(packet_verify(&p), PACKET_OK);
		ck_assert_uint_eq(p.len, got);
		ck_assert_uint_eq(p.fragment_offset, (where & 0x1fff) * 8 + at);
		ck_assert_uint_eq(p.more_fragments, i + 1 < n || where & 0x2000);
		ck_assert(n == 1 || p.fragment_id == 0x1234);
		ck_assert_mem_eq(piece + 12, packet + 12, 8);
		if (option_bytes)
			ck_assert_mem_eq(piece + 20, i ? later : options, 8);
		memcpy(whole + at, piece + header, got - header);
		at += got - header;
	}
	ck_assert_uint_eq(at, len - header);
	ck_assert_mem_eq(whole, packet + header, at);
	ck_assert_uint_eq(cut_write(packet, len, mtu, n, piece, sizeof(piece)), 0);
	ck_assert_uint_eq(cut_write(packet, len, mtu, 0, piece, 20), 0);
}

START_TEST(test_every_byte_is_in_one_piece_FA_7)
{
	for (size_t bytes = 0; bytes < 1700; bytes += 1 + bytes / 9)
		for (size_t mtu = 68; mtu < 1600; mtu += 1 + mtu / 7)
			check_pieces(bytes, mtu, bytes % 2 ? 8 : 0,
				     bytes % 3 == 0   ? 0
				     : bytes % 3 == 1 ? 0x2010
						      : 0x0020);
}
END_TEST

START_TEST(test_no_room_for_a_piece_FA_7)
{
	uint8_t packet[ROOM], piece[ROOM];
	size_t len = datagram(packet, 100, NULL, 0, 0);

	ck_assert_uint_eq(cut_count(packet, len, 27), 0);
	ck_assert_uint_eq(cut_write(packet, len, 27, 0, piece, sizeof(piece)), 0);
	ck_assert_uint_eq(cut_count(packet, len, 28), (len - 20 + 7) / 8);
}
END_TEST

/* The last 8 bytes that a fragment may begin at, and more after them: cut, its offsets would be other ones, with a flag
 * that was not set. */
START_TEST(test_fragment_beyond_the_longest_datagram_FA_7)
{
	uint8_t packet[ROOM], piece[ROOM];
	size_t len = datagram(packet, 1000, NULL, 0, 0x1fff);

	ck_assert_uint_eq(cut_count(packet, len, 576), 0);
	ck_assert_uint_eq(cut_write(packet, len, 576, 1, piece, sizeof(piece)), 0);
	ck_assert_uint_eq(cut_write(packet, len, 576, 0, piece, sizeof(piece)), 0);
	len = datagram(packet, 1000, NULL, 0, 0x2000 | (65528 - 1008) / 8);
	ck_assert_uint_eq(cut_count(packet, len, 576), 2);
	check_pieces(1000, 576, 0, 0x2000 | (65528 - 1008) / 8);
}
END_TEST

/* Options that end beyond the header, or nowhere: what is there stays. */
START_TEST(test_malformed_options_stay_FA_7)
{
	static const uint8_t bad[][4] = {{7, 0, 1, 1}, {7, 9, 1, 1}, {7, 1, 1, 1}, {1, 1, 1, 7}};
	uint8_t packet[ROOM], piece[ROOM];

	for (size_t i = 0; i < 4; i++) {
		size_t len = datagram(packet, 100, bad[i], 4, 0);

		ck_assert_uint_gt(cut_write(packet, len, 68, 1, piece, sizeof(piece)), 0);
		ck_assert_mem_eq(piece + 20, bad[i], 4);
	}
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_every_byte_is_in_one_piece_FA_7);
	tcase_add_test(t, test_no_room_for_a_piece_FA_7);
	tcase_add_test(t, test_fragment_beyond_the_longest_datagram_FA_7);
	tcase_add_test(t, test_malformed_options_stay_FA_7);
}

int main(void)
{
	return bed_main("cut", add);
}
