/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of listings as tables and as JSON.
 */
#include "ctl/render.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proto/admin.pb-c.h"

static Turnout__ServerRow server(const char *name, uint32_t port, uint64_t flows)
{
	Turnout__ServerRow row = TURNOUT__SERVER_ROW__INIT;

	row.name = (char *)(uintptr_t)name;
	row.address = (char *)(uintptr_t) "2001:db8::1";
	row.port = port;
	row.flows = flows;
	return row;
}

/* What a listing of these servers looks like; to be freed. */
static char *listing(bool json, const Turnout__ServerRow *rows, size_t count)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct render *r;

	ck_assert_ptr_nonnull(out);
	r = render_new(out, json, "servers", &turnout__server_row__descriptor);
	ck_assert_ptr_nonnull(r);
	for (size_t i = 0; i < count; i++)
		ck_assert(render_row(r, "smd", &rows[i].base));
	ck_assert_uint_eq(render_count(r), count);
	ck_assert(render_end(r, "no servers"));
	fclose(out);
	return text;
}

START_TEST(a_table_has_headings_and_aligned_columns_ARCH_7)
{
	Turnout__ServerRow rows[] = {server("web1", 80, 5), server("a-longer-name", 8080, 12345)};
	char *text = listing(false, rows, 2);
	const char *heading = strstr(text, "FLOWS"), *line = strchr(text, '\n');

	ck_assert_int_eq(strncmp(text, "DAEMON ", 7), 0);
	ck_assert_ptr_nonnull(heading);
	ck_assert_ptr_nonnull(strstr(line, "a-longer-name"));
	/* Numbers end where their heading ends. */
	ck_assert_ptr_eq(strstr(line, " 5 ") + 2, line + 1 + (heading + 5 - text));
	/* An empty text is a dash, so that each row has as many words as there are columns. */
	ck_assert_ptr_nonnull(strstr(line, "smd    -       web1 "));
	free(text);
}
END_TEST

START_TEST(an_empty_table_is_a_sentence)
{
	char *text = listing(false, NULL, 0);

	ck_assert_str_eq(text, "no servers\n");
	free(text);
}
END_TEST

static json_t *parsed(char *text)
{
	json_error_t error;
	json_t *j = json_loads(text, 0, &error);

	ck_assert_msg(j != NULL, "%s: %s", error.text, text);
	free(text);
	return j;
}

START_TEST(json_is_json_ARCH_7)
{
	Turnout__ServerRow rows[] = {server("web1", 80, 5), server("quote \" \x1b[2J \xff", 8080, UINT64_MAX)};
	json_t *j = parsed(listing(true, rows, 2));
	json_t *list = json_object_get(j, "servers"), *second = json_array_get(list, 1);

	ck_assert_uint_eq(json_array_size(list), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(list, 0), "port")), 80);
	ck_assert_str_eq(json_string_value(json_object_get(second, "daemon")), "smd");
	ck_assert_str_eq(json_string_value(json_object_get(second, "name")), "quote \" ?[2J ?");
	ck_assert_str_eq(json_string_value(json_object_get(second, "service")), "");
	ck_assert(json_real_value(json_object_get(second, "flows")) > 1.8e19);
	json_decref(j);
}
END_TEST

START_TEST(an_empty_listing_is_an_empty_array)
{
	json_t *j = parsed(listing(true, NULL, 0));

	ck_assert_uint_eq(json_array_size(json_object_get(j, "servers")), 0);
	ck_assert(json_is_array(json_object_get(j, "servers")));
	json_decref(j);
}
END_TEST

START_TEST(a_full_disk_is_noticed)
{
	FILE *full = fopen("/dev/full", "w");
	Turnout__ServerRow row = server("web1", 80, 1);
	struct render *r;

	ck_assert_ptr_nonnull(full);
	r = render_new(full, true, "servers", &turnout__server_row__descriptor);
	render_row(r, "smd", &row.base);
	ck_assert(!render_end(r, ""));
	fclose(full);
}
END_TEST

/* A field of a kind that cannot be printed would silently be a dash. */
START_TEST(every_field_of_every_listing_can_be_printed_ARCH_7)
{
	const ProtobufCMessageDescriptor *reply = &turnout__reply__descriptor;
	unsigned listings = 0;

	for (unsigned i = 0; i < reply->n_fields; i++) {
		const ProtobufCMessageDescriptor *row = reply->fields[i].descriptor;

		if (reply->fields[i].label != PROTOBUF_C_LABEL_REPEATED)
			continue;
		listings++;
		for (unsigned k = 0; k < row->n_fields; k++)
			ck_assert_msg(render_knows(&row->fields[k]), "%s.%s", row->name, row->fields[k].name);
	}
	ck_assert_uint_ge(listings, 9);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("render");
	TCase *tc = tcase_create("render");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, a_table_has_headings_and_aligned_columns_ARCH_7);
	tcase_add_test(tc, an_empty_table_is_a_sentence);
	tcase_add_test(tc, json_is_json_ARCH_7);
	tcase_add_test(tc, an_empty_listing_is_an_empty_array);
	tcase_add_test(tc, a_full_disk_is_noticed);
	tcase_add_test(tc, every_field_of_every_listing_can_be_printed_ARCH_7);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
