// SPDX-License-Identifier: Apache-2.0
// store backup: weftd makes the copy beside its state file, and here it goes where it is wanted.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/http.h"
#include "cli/run.h"

static int copy(int from, int to)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (ssize_t done = 0, k; done < n; done += k) {
			k = write(to, buf + done, (size_t)(n - done));
			if (k < 0)
				return -errno;
		}
	}
	return n < 0 || fsync(to) != 0 ? -errno : 0;
}

// Under another name first: FILE is whole, or as it was.
static int take_to(const char *made, const char *file, struct err *err)
{
	char part[4096];
	int from = open(made, O_RDONLY | O_CLOEXEC), to = -1, ret;

	if (from < 0)
		return weft_fail(err, -errno,
				 "%s cannot be read: %s (is this weftd's host, and are you root?)",
				 made, strerror(errno));
	snprintf(part, sizeof(part), "%.4000s.part", file);
	to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ret = to < 0 ? -errno : copy(from, to);
	if (to >= 0 && close(to) != 0 && ret == 0)
		ret = -errno;
	close(from);
	if (ret == 0 && rename(part, file) != 0)
		ret = -errno;
	if (ret == 0)
		return 0;
	if (to >= 0)
		unlink(part);
	return weft_fail(err, ret, "%s cannot be written: %s", file, strerror(-ret));
}

int weft_run_store_backup(const struct invocation *in, struct err *err)
{
	json_t *answer = NULL, *nothing = json_object();
	const char *made;
	int ret = weft_http(in->api, "/weft/v1/store-backup", nothing, &answer, err);

	json_decref(nothing);
	made = ret == 0 ? json_string_value(json_object_get(answer, "file")) : NULL;
	if (ret == 0 && made == NULL)
		ret = weft_fail(err, -EPROTO, "weftd does not say where the copy is");
	if (ret == 0)
		ret = take_to(made, in->args[0], err);
	if (ret == 0) {
		unlink(made);
		if (in->json)
			printf("{\"file\": \"%s\"}\n", in->args[0]);
	}
	json_decref(answer);
	return ret;
}
