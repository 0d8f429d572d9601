// SPDX-License-Identifier: Apache-2.0
// What a configuration needs of this machine, for --check-config: all that can be known without
// starting.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config.h"
#include "north/api/tls.h"
#include "north/api/tokens.h"

struct check {
	config_complain complain;
	void *arg;
	size_t n;
};

static void complain(void *arg, const char *sentence)
{
	struct check *k = arg;

	k->n++;
	k->complain(k->arg, sentence);
}

static void take(struct check *k, int ret, const struct err *err)
{
	if (ret != 0)
		complain(k, err->msg);
}

static void check_tokens(struct check *k, const struct config *c)
{
	struct tokens *t = NULL;
	struct err err = {0};
	int ret = c->auth == API_AUTH_TOKEN ? weft_tokens_open(c->tokens, &t, &err) : 0;

	if (ret == 0 && t != NULL && weft_tokens_count(t) == 0)
		ret = weft_fail(&err, -EINVAL,
				"tokens = %s: there is no token in it, so nobody could use the API",
				c->tokens);
	take(k, ret, &err);
	weft_tokens_close(t);
}

static void check_tls(struct check *k, const struct config *c)
{
	struct tls_files files = {0};
	struct err err = {0};

	if (c->tls_cert[0] == '\0' || c->tls_key[0] == '\0')
		return;
	take(k, weft_tls_load(c->tls_cert, c->tls_key, &files, &err), &err);
	weft_tls_fini(&files);
}

// They are made when they are missing, but not in place of something else.
static void check_directory(struct check *k, const char *key, const char *path)
{
	struct stat st;
	struct err err;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		take(k, weft_fail(&err, -ENOTDIR, "%s = %s: it is no directory", key, path), &err);
}

static void check_metadata(struct check *k, const struct config *c)
{
	const struct metadata_config metadata = weft_config_metadata(c);
	struct err err = {0};

	take(k, weft_metadata_check(&metadata, &err), &err);
}

static void check_datapath(struct check *k, const struct config *c)
{
	const struct datapath_config config = weft_config_datapath(c);

	weft_native_ops.check(&config, complain, k);
}

static void check_api(struct check *k, const struct config *c)
{
	const struct api_config api = weft_config_api(c);
	struct err err = {0};

	take(k, weft_api_check(&api, &err), &err);
}

size_t weft_config_check(const char *path, config_complain say, void *arg)
{
	struct check k = {say, arg, 0};
	struct config c;
	struct err err = {0};
	int ret = weft_config_read_on(path, &c, complain, &k, &err);

	if (ret != 0 && k.n == 0)
		complain(&k, err.msg); // the file cannot be read
	if (ret != 0)
		return k.n;
	check_api(&k, &c);
	check_tokens(&k, &c);
	check_tls(&k, &c);
	check_metadata(&k, &c);
	check_datapath(&k, &c);
	check_directory(&k, "run_dir", c.run_dir);
	check_directory(&k, "state_dir", c.state_dir);
	weft_config_fini(&c);
	return k.n;
}
