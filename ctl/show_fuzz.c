/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing what turnoutctl prints of what daemons say: any reply's listings, as
 * a table and as JSON, any event, any packet.  Nothing of it can steer a terminal.
 *
 * The first byte says what the rest is.
 */
#include "ctl/capture.h"
#include "ctl/render.h"
#include "ctl/watch.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/shape_protobuf.h"

enum { AS_REPLY, AS_EVENT, AS_PACKET, KINDS };

/* Without what terminals take for commands, C1 controls in UTF-8 included.  JSON may have a DEL, which does nothing. */
static void look_at(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK((unsigned char)text[i] >= 0x20 || text[i] == '\n');
	for (size_t i = 0; i + 1 < len; i++)
		FUZZ_CHECK((unsigned char)text[i] != 0xc2 || (unsigned char)text[i + 1] >= 0xa0);
}

static void show_rows(FILE *out, bool json, const ProtobufCFieldDescriptor *field, const Turnout__Reply *r)
{
	const uint8_t *base = (const uint8_t *)r;
	size_t count = *(const size_t *)(base + field->quantifier_offset);
	ProtobufCMessage *const *rows = *(ProtobufCMessage *const *const *)(base + field->offset);
	struct render *render = render_new(out, json, field->name, field->descriptor);

	FUZZ_CHECK(render != NULL);
	for (size_t i = 0; i < count; i++)
		FUZZ_CHECK(render_row(render, "fad", rows[i]));
	FUZZ_CHECK(render_end(render, "none"));
}

static void show_reply(FILE *out, const uint8_t *data, size_t size)
{
	Turnout__Reply *r = turnout__reply__unpack(NULL, size, data);

	for (unsigned i = 0; r && i < turnout__reply__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &turnout__reply__descriptor.fields[i];

		if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		show_rows(out, false, f, r);
		show_rows(out, true, f, r);
	}
	turnout__reply__free_unpacked(r, NULL);
}

static void show_event(FILE *out, const uint8_t *data, size_t size)
{
	Turnout__Event *e = turnout__event__unpack(NULL, size, data);
	static const Turnout__Capture all = TURNOUT__CAPTURE__INIT;
	struct watch_row rows[WATCH_ROWS];
	struct watch_sequence seq = {0};
	size_t n;

	if (!e)
		return;
	watch_missed(&seq, e->seq);
	watch_missed(&seq, e->seq + 2);
	n = watch_event(e, rows);
	for (size_t i = 0; i < n; i++) {
		rows[i].row.time = (char *)(uintptr_t) "2026-01-01T00:00:00.000Z";
		watch_print(out, "fad", &rows[i].row);
		render_line(out, "fad", &rows[i].row.base);
	}
	if (e->what_case == TURNOUT__EVENT__WHAT_CAPTURED && capture_wanted(&all, e->captured)) {
		capture_print(out, false, "fad", e->captured);
		capture_print(out, true, "fad", e->captured);
	}
	turnout__event__free_unpacked(e, NULL);
}

static void show_packet(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1); /* exactly as long but for one */
	struct capture_seen seen;

	FUZZ_CHECK(copy != NULL);
	memcpy(copy + 1, data, size);
	capture_look(copy + 1, size, &seen);
	look_at(seen.protocol, strlen(seen.protocol));
	look_at(seen.source, strlen(seen.source));
	look_at(seen.flags, strlen(seen.flags));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (size < 1)
		return 0;
	out = open_memstream(&text, &len);
	FUZZ_CHECK(out != NULL);
	if (data[0] % KINDS == AS_REPLY)
		show_reply(out, data + 1, size - 1);
	else if (data[0] % KINDS == AS_EVENT)
		show_event(out, data + 1, size - 1);
	else
		show_packet(data + 1, size - 1);
	FUZZ_CHECK(fclose(out) == 0);
	look_at(text, len);
	free(text);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t chance = fuzz_seed(seed);

	if (size < 1 || max < 2 || data[0] % KINDS == AS_PACKET || fuzz_below(&chance, 32) == 0)
		return LLVMFuzzerMutate(data, size, max);
	return 1 + protobuf_shape(data + 1, size - 1, max - 1, &chance);
}
