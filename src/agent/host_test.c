// SPDX-License-Identifier: Apache-2.0
#include "agent/host.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

static char root[64];

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/weft-host-test-XXXXXX");
	return mkdtemp(root) == NULL;
}

static int remove_root(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void a_missing_directory_is_made_with_those_above(void **state)
{
	char path[128];
	struct err err = {0};
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/a/b/c", root);
	assert_int_equal(weft_host_directory("state_dir", path, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(weft_host_directory("state_dir", path, &err), 0);
}

static void a_directory_that_cannot_be_says_which_and_why(void **state)
{
	char path[128];
	struct err err = {0};
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/file", root);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(weft_host_directory("run_dir", path, &err), -ENOTDIR);
	assert_non_null(strstr(err.msg, "it is no directory"));
	strcat(path, "/dir");
	assert_int_equal(weft_host_directory("run_dir", path, &err), -ENOTDIR);
	assert_non_null(strstr(err.msg, "run_dir = "));
}

static void a_directory_is_opened_to_a_group_and_no_further(void **state)
{
	char path[128];
	struct stat st;
	struct err err = {0};
	gid_t group = getuid() == 0 ? 12345 : getgid();

	(void)state;
	snprintf(path, sizeof(path), "%s/shared", root);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(weft_host_share(path, group, HOST_SHARE_ENTER, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_gid, group);
	assert_int_equal(st.st_mode & 07777, 0710);
	assert_int_equal(weft_host_share(path, group, HOST_SHARE_WRITE, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 01730);
	rmdir(path);
	assert_int_equal(weft_host_share(path, group, HOST_SHARE_ENTER, &err), -ENOENT);
	assert_non_null(strstr(err.msg, path));
}

static void a_state_directory_has_one_weftd(void **state)
{
	char holder[32];
	struct err err = {0};
	int first, second;

	(void)state;
	assert_int_equal(weft_host_lock("state_dir", root, &first, &err), 0);
	assert_int_equal(weft_host_lock("state_dir", root, &second, &err), -EBUSY);
	snprintf(holder, sizeof(holder), "process %d", getpid());
	assert_non_null(strstr(err.msg, holder));
	close(first);
	assert_int_equal(weft_host_lock("state_dir", root, &second, &err), 0);
	close(second);
}

static void the_service_manager_is_told(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char got[32] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)state;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", root);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	weft_host_notify("READY=1");
	assert_int_equal(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), 7);
	assert_string_equal(got, "READY=1");
	unsetenv("NOTIFY_SOCKET");
	weft_host_notify("READY=1");
	assert_true(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) < 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_missing_directory_is_made_with_those_above),
		cmocka_unit_test(a_directory_that_cannot_be_says_which_and_why),
		cmocka_unit_test(a_directory_is_opened_to_a_group_and_no_further),
		cmocka_unit_test(a_state_directory_has_one_weftd),
		cmocka_unit_test(the_service_manager_is_told),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
