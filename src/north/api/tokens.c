// SPDX-License-Identifier: Apache-2.0
#include "north/api/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/log.h"

struct token_line {
	char *token;
	char *project;
	char *roles;
};

struct token_list {
	struct token_line *lines;
	size_t n;
};

struct tokens {
	char *path;
	struct stat seen; // of the file as last looked at
	struct token_list list;
};

DEFINE_AUTO(tokens, struct tokens *, weft_tokens_close)
DEFINE_AUTO(file, FILE *, fclose)
DEFINE_AUTO(string, char *, free)

static void list_fini(struct token_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->lines[i].token);
		free(l->lines[i].project);
		free(l->lines[i].roles);
	}
	free(l->lines);
	*l = (struct token_list) {0};
}

static int list_add(struct token_list *l, const char *token, const char *project, const char *roles,
		    struct err *err)
{
	struct token_line *lines = reallocarray(l->lines, l->n + 1, sizeof(*lines));

	if (lines == NULL)
		return weft_fail(err, -ENOMEM, "tokens: out of memory");
	l->lines = lines;
	lines[l->n++] = (struct token_line) {strdup(token), strdup(project), strdup(roles)};
	return 0;
}

static int read_line(const char *path, unsigned number, char *line, struct token_list *out,
		     struct err *err)
{
	char *save = NULL;

	line[strcspn(line, "#\n")] = '\0';
	char *token = strtok_r(line, " \t\r", &save);
	if (token == NULL)
		return 0;
	char *project = strtok_r(NULL, " \t\r", &save);
	char *roles = project ? strtok_r(NULL, " \t\r", &save) : NULL;
	// The line is not quoted: it may hold a good token.
	if (roles == NULL || strtok_r(NULL, " \t\r", &save) != NULL)
		return weft_fail(err, -EINVAL,
				 "tokens file %s, line %u: expected 'token project role[,role]'",
				 path, number);
	return list_add(out, token, project, roles, err);
}

static int read_file(struct tokens *t, struct token_list *out, struct err *err)
{
	weft_auto(file) f = fopen(t->path, "re");
	weft_auto(string) line = NULL;
	size_t size = 0;
	int ret = 0;

	if (f == NULL)
		return weft_fail(err, -errno, "tokens file %s cannot be read: %s", t->path,
				 strerror(errno));
	for (unsigned number = 1; ret == 0 && getline(&line, &size, f) >= 0; number++)
		ret = read_line(t->path, number, line, out, err);
	if (ret == 0 && ferror(f))
		ret = weft_fail(err, -EIO, "tokens file %s cannot be read", t->path);
	if (ret < 0)
		list_fini(out);
	return ret;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void reread_if_changed(struct tokens *t)
{
	struct token_list list = {0};
	struct stat now = {0};
	struct err err;

	if (stat(t->path, &now) < 0)
		now = (struct stat) {0};
	if (is_same_file(&now, &t->seen))
		return;

	t->seen = now;
	if (read_file(t, &list, &err) < 0) {
		weft_log_error("%s; the tokens read before stay in force", err.msg);
		return;
	}
	list_fini(&t->list);
	t->list = list;
	weft_log_info("tokens file %s was read again: %zu tokens", t->path, list.n);
}

int weft_tokens_open(const char *path, struct tokens **out, struct err *err)
{
	weft_auto(tokens) t = calloc(1, sizeof(*t));

	if (t == NULL || (t->path = strdup(path)) == NULL)
		return weft_fail(err, -ENOMEM, "tokens: out of memory");
	if (stat(path, &t->seen) < 0)
		return weft_fail(err, -errno, "tokens file %s cannot be read: %s", path,
				 strerror(errno));
	int ret = read_file(t, &t->list, err);
	if (ret < 0)
		return ret;
	if (t->seen.st_mode & (S_IRGRP | S_IROTH))
		weft_log_warning("tokens file %s can be read by others than its owner", path);
	*out = weft_take(t);
	return 0;
}

size_t weft_tokens_count(const struct tokens *t)
{
	return t->list.n;
}

void weft_tokens_close(struct tokens *t)
{
	if (t == NULL)
		return;
	list_fini(&t->list);
	free(t->path);
	free(t);
}

// In a time that does not tell how much of a guess was right.
static bool is_equal(const char *secret, const char *guess)
{
	size_t len = strlen(secret);
	unsigned char difference = 0;

	if (strlen(guess) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		difference |= (unsigned char)(secret[i] ^ guess[i]);
	return difference == 0;
}

bool weft_tokens_get(struct tokens *t, const char *token, struct token_owner *out)
{
	bool found = false;

	reread_if_changed(t);
	for (size_t i = 0; i < t->list.n; i++) {
		if (is_equal(t->list.lines[i].token, token)) {
			*out = (struct token_owner) {t->list.lines[i].project,
						     t->list.lines[i].roles};
			found = true;
		}
	}
	return found;
}
