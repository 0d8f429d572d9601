// SPDX-License-Identifier: Apache-2.0
#include "north/api/listen.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "north/api/api.h"

static void addresses_of_both_families_are_understood(void **state)
{
	(void)state;
	struct listen_addr a;
	struct err err;
	assert_int_equal(weft_listen_parse("127.0.0.1:9696", &a, &err), 0);
	assert_int_equal(a.port, 9696);
	assert_true(weft_listen_is_loopback(&a));
	assert_int_equal(weft_listen_parse("[::1]:80", &a, &err), 0);
	assert_int_equal(a.ip.family, 6);
	assert_true(weft_listen_is_loopback(&a));
	assert_int_equal(weft_listen_parse("localhost:1", &a, &err), 0);
	assert_true(weft_listen_is_loopback(&a));
	assert_int_equal(weft_listen_parse("0.0.0.0:9696", &a, &err), 0);
	assert_false(weft_listen_is_loopback(&a));
	assert_int_equal(weft_listen_parse("[::]:9696", &a, &err), 0);
	assert_false(weft_listen_is_loopback(&a));
}

static void what_is_no_address_and_port_is_refused_with_an_example(void **state)
{
	(void)state;
	static const char *const bad[] = {"",		"9696",		  "127.0.0.1",
					  "127.0.0.1:", "127.0.0.1:x",	  "127.0.0.1:65536",
					  "::1:9696",	"[::1]",	  "[]:1",
					  ":1",		"host.example:1", "127.0.0.1:-1"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct listen_addr a;
		struct err err;
		assert_int_equal(weft_listen_parse(bad[i], &a, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "127.0.0.1:9696"));
	}
}

static void nobody_is_let_in_from_the_network_without_token_and_tls(void **state)
{
	(void)state;
	struct api_config c = {.listen = "192.0.2.1:9696", .auth = API_AUTH_NONE};
	struct err err;
	assert_int_equal(weft_api_check(&c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "192.0.2.1:9696 is not a loopback address"));
	c.tls_cert = c.tls_key = "x";
	assert_int_equal(weft_api_check(&c, &err), -EINVAL);
	c = (struct api_config) {.listen = "192.0.2.1:9696", .auth = API_AUTH_TOKEN, .tokens = "t"};
	assert_int_equal(weft_api_check(&c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "tls_cert"));
	c.tls_cert = "x";
	assert_int_equal(weft_api_check(&c, &err), -EINVAL);
	c.tls_key = "x";
	assert_int_equal(weft_api_check(&c, &err), 0);
	c.tokens = "";
	assert_int_equal(weft_api_check(&c, &err), -EINVAL);
	c = (struct api_config) {.listen = "127.0.0.1:9696", .tls_cert = "", .tls_key = ""};
	assert_int_equal(weft_api_check(&c, &err), 0);
}

static void address_in_use_is_named(void **state)
{
	(void)state;
	struct listen_addr a;
	struct err err;
	uint16_t port;
	char text[32];
	int first, second;
	assert_int_equal(weft_listen_parse("127.0.0.1:0", &a, &err), 0);
	assert_int_equal(weft_listen_open(&a, "127.0.0.1:0", &first, &port, &err), 0);
	assert_true(port > 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	a.port = port;
	assert_int_equal(weft_listen_open(&a, text, &second, &port, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, text));
	assert_non_null(strstr(err.msg, "in use"));
	close(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_of_both_families_are_understood),
		cmocka_unit_test(what_is_no_address_and_port_is_refused_with_an_example),
		cmocka_unit_test(nobody_is_let_in_from_the_network_without_token_and_tls),
		cmocka_unit_test(address_in_use_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
