// SPDX-License-Identifier: Apache-2.0
#include "plan/cells.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static enum plan_kind object_kind(const struct cell *cell)
{
	static const enum plan_kind kinds[] = {
		[CELL_NETWORK] = PLAN_NETWORK,
		[CELL_SUBNET] = PLAN_SUBNET,
		[CELL_MEMBER] = PLAN_MEMBER,
		[CELL_RULE_SET] = PLAN_RULE_SET,
		[CELL_PORT] = PLAN_PORT,
		[CELL_NEIGHBOUR] = PLAN_NEIGHBOUR,
		[CELL_ROUTER] = PLAN_ROUTER,
		[CELL_FLOATING] = PLAN_FLOATING,
		[CELL_FORWARDING] = PLAN_FORWARDING,
		[CELL_SET] = PLAN_MEMBER, // has no object
	};

	return kinds[cell->key.kind];
}

void weft_cells_fini(struct cells *c)
{
	struct cell *cell, *tmp;

	weft_cells_end(c, false);
	HASH_ITER(hh, c->table, cell, tmp) {
		HASH_DEL(c->table, cell);
		weft_plan_object_free(object_kind(cell), cell->now.object);
		free(cell);
	}
	free(c->touched);
	*c = (struct cells) {0};
}

struct cell_key weft_cell_key(enum cell_kind kind, const char *id)
{
	struct cell_key key;

	// Hashed as bytes, so padding and what is behind a NUL count.
	memset(&key, 0, sizeof(key));
	key.kind = kind;
	memcpy(key.id, id, strnlen(id, WEFT_ID_LEN));
	return key;
}

struct cell *weft_cells_get(struct cells *c, const struct cell_key *key)
{
	struct cell *cell;

	HASH_FIND(hh, c->table, key, sizeof(*key), cell);
	return cell;
}

struct cell *weft_cells_stage(struct cells *c, const struct cell_key *key, struct cell *scope)
{
	struct cell *cell = weft_cells_get(c, key);

	if (cell == NULL) {
		cell = calloc(1, sizeof(*cell));
		if (cell == NULL)
			abort();
		cell->key = *key;
		HASH_ADD(hh, c->table, key, sizeof(cell->key), cell);
		if (scope != NULL) {
			cell->scope = scope;
			DL_APPEND(scope->children, cell);
		}
	}
	weft_cells_touch(c, cell);
	return cell;
}

void weft_cells_touch(struct cells *c, struct cell *cell)
{
	if (cell->touched)
		return;
	if (c->n_touched == c->cap) {
		c->cap = c->cap == 0 ? 64 : c->cap * 2;
		c->touched = realloc(c->touched, c->cap * sizeof(*c->touched));
		if (c->touched == NULL)
			abort();
	}
	c->touched[c->n_touched++] = cell;
	cell->touched = true;
}

void weft_cells_set(struct cells *c, struct cell *cell, void *object)
{
	enum plan_kind kind = object_kind(cell);

	weft_cells_touch(c, cell);
	if (cell->staged.object != cell->now.object)
		weft_plan_object_free(kind, cell->staged.object);
	if (object != NULL && cell->now.object != NULL &&
	    weft_plan_object_equal(kind, object, cell->now.object)) {
		weft_plan_object_free(kind, object);
		object = cell->now.object;
	}
	cell->staged.object = object;
}

void weft_cells_empty(struct cells *c, struct cell *scope)
{
	for (struct cell *child = scope->children; child != NULL; child = child->next) {
		child->staged.refs = 0;
		weft_cells_set(c, child, NULL);
	}
}

// Children are always ended before their scope: a scope that goes has staged all of them away.
static void end_cell(struct cells *c, struct cell *cell, bool commit)
{
	struct cell_state *goes = commit ? &cell->now : &cell->staged;
	const struct cell_state *stays = commit ? &cell->staged : &cell->now;

	if (cell->staged.object != cell->now.object)
		weft_plan_object_free(object_kind(cell), goes->object);
	*goes = *stays;
	cell->touched = cell->rebuild = false;
	if (cell->now.object == NULL && cell->now.refs == 0 && cell->children == NULL) {
		if (cell->scope != NULL)
			DL_DELETE(cell->scope->children, cell);
		HASH_DEL(c->table, cell);
		free(cell);
	}
}

void weft_cells_end(struct cells *c, bool commit)
{
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < c->n_touched; i++) {
			struct cell *cell = c->touched[i];
			bool is_child = cell != NULL && cell->scope != NULL;

			if (cell != NULL && is_child == (pass == 0)) {
				end_cell(c, cell, commit);
				c->touched[i] = NULL;
			}
		}
	}
	c->n_touched = 0;
}
