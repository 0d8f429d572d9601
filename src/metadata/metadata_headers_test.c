// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata_headers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct metadata_secret secret_of(const char *text)
{
	struct metadata_secret s = {.len = strlen(text)};

	memcpy(s.text, text, s.len + 1);
	return s;
}

// RFC 4231, test case 2; and what Python's hmac module makes of an instance's id, as Neutron uses
// it.
static void signatures_are_hmac_sha256_in_hex(void **state)
{
	struct metadata_secret jefe = secret_of("Jefe"), s = secret_of("s3cr3t");
	char out[METADATA_SIGNATURE_LEN + 1];

	(void)state;
	weft_metadata_sign(&jefe, "what do ya want for nothing?", out);
	assert_string_equal(out,
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	weft_metadata_sign(&s, "8f2e1c1a-4b5f-4d8e-9a53-0c8f7f6d2b11", out);
	assert_string_equal(out,
			    "f651464817d266dfe3d3bf23129eddfb2e35a3998bbbd66df275dd760aaad049");
}

static void who_asks_is_never_taken_from_the_vm(void **state)
{
	static const char *const forged[] = {
		"X-Forwarded-For",
		"x-forwarded-for",
		"X_Forwarded_For",
		"X-Neutron-Network-ID",
		"X-Neutron-Router-ID",
		"x-neutron_router-id",
		"X-Instance-ID",
		"X-Instance_ID",
		"X-Instance-ID-Signature",
		"X-Tenant-ID",
		"X-OVN-Network-ID",
		"X-Metadata-Provider",
		"X-Metadata-Provider-Signature",
		"Forwarded",
		"X-Real-IP",
		"X-Project-Id",
		"X-Client-Cert",
		"X-Client-Cert-Chain",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++)
		if (weft_metadata_request_header_passes(forged[i], NULL))
			fail_msg("%s passes", forged[i]);
	assert_true(weft_metadata_request_header_passes("X-aws-ec2-metadata-token", NULL));
	assert_true(weft_metadata_request_header_passes("Accept", NULL));
	assert_true(weft_metadata_request_header_passes("Metadata-Flavor", NULL));
}

static void headers_of_one_connection_end_there(void **state)
{
	(void)state;
	assert_false(weft_metadata_request_header_passes("Connection", NULL));
	assert_false(weft_metadata_request_header_passes("Transfer-Encoding", NULL));
	assert_false(weft_metadata_request_header_passes("Content-Length", NULL));
	assert_false(weft_metadata_request_header_passes("Host", NULL));
	assert_true(weft_metadata_answer_header_passes("Server", NULL));
	assert_false(weft_metadata_answer_header_passes("Keep-Alive", NULL));
	// Those that the Connection header names.
	assert_true(weft_metadata_request_header_passes("X-Hop", "close"));
	assert_false(weft_metadata_request_header_passes("X-Hop", "close, x-hop"));
	assert_false(weft_metadata_request_header_passes("X-Hop", "X-HOP,close"));
	assert_true(weft_metadata_request_header_passes("X-Hop", "x-hops x"));
}

static void what_is_no_header_does_not_pass(void **state)
{
	(void)state;
	assert_false(weft_metadata_request_header_passes("", NULL));
	assert_false(weft_metadata_request_header_passes("X Forwarded", NULL));
	assert_false(weft_metadata_request_header_passes("A:b", NULL));
	assert_true(weft_metadata_header_value_is_sound("a\tb \xc3\xa4"));
	assert_false(weft_metadata_header_value_is_sound("a\r\nX-Tenant-ID: b"));
	assert_false(weft_metadata_header_value_is_sound("a\n"));
}

static void add(void *arg, const char *name, const char *value)
{
	char *out = arg;

	strcat(out, name);
	strcat(out, "=");
	strcat(out, value);
	strcat(out, ";");
}

static void exactly_one_of_network_and_router_is_told(void **state)
{
	struct metadata_who who = {
		.network_id = "net", .address = "10.0.0.5", .instance_id = "vm", .project_id = "p"};
	struct metadata_secret none = {0};
	char text[512] = "";

	(void)state;
	weft_metadata_identity(&who, &none, add, text);
	assert_string_equal(text, "X-Forwarded-For=10.0.0.5;X-Neutron-Network-ID=net;");
	strcpy(who.router_id, "router");
	text[0] = '\0';
	weft_metadata_identity(&who, &none, add, text);
	assert_string_equal(text, "X-Forwarded-For=10.0.0.5;X-Neutron-Router-ID=router;");
}

static void with_a_secret_the_instance_is_told_and_signed(void **state)
{
	struct metadata_who who = {.network_id = "net",
				   .address = "10.0.0.5",
				   .instance_id = "what do ya want for nothing?",
				   .project_id = "p"};
	struct metadata_secret jefe = secret_of("Jefe");
	char text[512] = "";

	(void)state;
	weft_metadata_identity(&who, &jefe, add, text);
	assert_string_equal(text,
			    "X-Forwarded-For=10.0.0.5;X-Instance-ID=what do ya want for nothing?;"
			    "X-Tenant-ID=p;X-Instance-ID-Signature="
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843;");
}

static void secrets_are_read_from_files_that_others_may_not_read(void **state)
{
	char path[] = "/tmp/weft-secret-XXXXXX";
	struct metadata_secret s;
	struct err err = {0};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(weft_metadata_secret_read("", &s, &err), 0);
	assert_int_equal(s.len, 0);
	assert_int_equal(weft_metadata_secret_read(path, &s, &err), -EINVAL); // empty
	assert_int_equal(write(fd, "s3cr3t\nmore\n", 12), 12);
	assert_int_equal(weft_metadata_secret_read(path, &s, &err), 0);
	assert_string_equal(s.text, "s3cr3t");
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_int_equal(weft_metadata_secret_read(path, &s, &err), -EPERM);
	assert_non_null(strstr(err.msg, path));
	assert_int_equal(fchmod(fd, 0640), 0);
	assert_int_equal(weft_metadata_secret_read(path, &s, &err), 0);
	close(fd);
	unlink(path);
	assert_int_equal(weft_metadata_secret_read(path, &s, &err), -ENOENT);
	assert_int_equal(weft_metadata_secret_read("/tmp", &s, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_are_hmac_sha256_in_hex),
		cmocka_unit_test(who_asks_is_never_taken_from_the_vm),
		cmocka_unit_test(headers_of_one_connection_end_there),
		cmocka_unit_test(what_is_no_header_does_not_pass),
		cmocka_unit_test(exactly_one_of_network_and_router_is_told),
		cmocka_unit_test(with_a_secret_the_instance_is_told_and_signed),
		cmocka_unit_test(secrets_are_read_from_files_that_others_may_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
