/* SPDX-License-Identifier: MIT */
/*
 * unit.c - ncd-run --enable and --disable.
 *
 * The drop-in is a file of its own name, with a first line that says whose it is: one without that
 * line is somebody else's, and stays. It appears by rename(2), whole or not at all.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACE      "/etc/systemd/system"
#define NAME       "ncd-run.conf"
#define MARK       "# Written by ncd-run --enable; ncd-run --disable removes it.\n"
#define SUFFIX     ".service"
#define UNIT_BYTES 256 /* as systemd's UNIT_NAME_MAX */

struct dropin {
	char unit[UNIT_BYTES];
	char dir[UNIT_BYTES + sizeof(PLACE) + 4];
	char path[UNIT_BYTES + sizeof(PLACE) + sizeof(NAME) + 8];
};

extern char **environ;

/* The names of @unit's files; false: systemd has no such names. */
static bool dropin_name(struct dropin *d, const char *unit)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789:-_.\\@";
	const char *dot = strrchr(unit, '.');
	bool whole = dot && strcmp(dot, SUFFIX) == 0;
	int n = snprintf(d->unit, sizeof(d->unit), "%s%s", unit, whole ? "" : SUFFIX);

	if (!*unit || strspn(unit, allowed) != strlen(unit) || n >= (int)sizeof(d->unit)) {
		fprintf(stderr, "ncd-run: %s: not the name of a service\n", unit);
		return false;
	}
	(void)snprintf(d->dir, sizeof(d->dir), PLACE "/%s.d", d->unit); /* fits, both */
	(void)snprintf(d->path, sizeof(d->path), "%s/" NAME, d->dir);
	return true;
}

/* Runs systemctl; its standard output, without the last newline, to @out. Its exit status; -1: it
 * could not be run. */
static int systemctl(const char *const argument[], char *out, size_t bytes)
{
	char *argv[8] = { NULL };
	posix_spawn_file_actions_t actions;
	int pipe_fd[2], status = -1, nr = 0, r;
	size_t at = 0;
	ssize_t n;
	pid_t pid;

	for (; argument[nr]; nr++)
		argv[nr] = strdup(argument[nr]);
	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		goto out;
	(void)posix_spawn_file_actions_init(&actions); /* cannot fail here */
	r = posix_spawn_file_actions_adddup2(&actions, pipe_fd[1], STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions); /* nor here */
	(void)close(pipe_fd[1]);                          /* the child's */
	while (r == 0 && (n = read(pipe_fd[0], out + at, bytes - 1 - at)) > 0)
		at += (size_t)n;
	(void)close(pipe_fd[0]); /* was only read */
	if (r == 0 && waitpid(pid, &status, 0) == pid)
		status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
out:
	while (nr > 0)
		free(argv[--nr]);
	out[at] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return status;
}

/* systemd knows the unit, and could start it. */
static bool unit_exists(const char *unit)
{
	const char *const ask[] = { "systemctl", "show", "--property=LoadState", "--value", "--",
				    unit,        NULL };
	char state[64];

	if (systemctl(ask, state, sizeof(state)) != 0) {
		fprintf(stderr, "ncd-run: systemctl cannot be asked for %s: is systemd running?\n",
			unit);
		return false;
	}
	if (strcmp(state, "loaded") == 0)
		return true;
	fprintf(stderr, "ncd-run: %s: %s\n", unit,
		strcmp(state, "not-found") == 0
			? "no such unit (systemctl list-unit-files has them)"
			: state);
	return false;
}

static void reload(const char *unit, const char *what)
{
	const char *const ask[] = { "systemctl", "daemon-reload", NULL };
	char out[64];

	if (systemctl(ask, out, sizeof(out)) == 0)
		printf("ncd-run: %s; to take effect: systemctl restart %s\n", what, unit);
	else
		printf("ncd-run: %s; to take effect: systemctl daemon-reload, then systemctl "
		       "restart %s\n",
		       what, unit);
}

/* 1: ours, 0: there is none, -1: somebody else's, or it cannot be read; said. */
static int dropin_ours(const struct dropin *d)
{
	char mark[sizeof(MARK)] = "";
	FILE *f = fopen(d->path, "re");
	bool ours;

	if (!f && errno == ENOENT)
		return 0;
	if (!f) {
		fprintf(stderr, "ncd-run: %s: %s\n", d->path, strerror(errno));
		return -1;
	}
	ours = fgets(mark, sizeof(mark), f) && strcmp(mark, MARK) == 0;
	(void)fclose(f); /* was only read */
	if (ours)
		return 1;
	fprintf(stderr, "ncd-run: %s: was not written by ncd-run, and stays\n", d->path);
	return -1;
}

/* One variable, as systemd.exec(5) and systemd.unit(5) quote. */
static void put_variable(FILE *f, const char *name, const char *value)
{
	fprintf(f, "Environment=\"%s=", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', f);
		else if (*value == '%')
			fputc('%', f);
		fputc(*value, f);
	}
	fputs("\"\n", f);
}

static int dropin_write(const struct dropin *d, const char *library, const char *const variable[])
{
	char fresh[sizeof(d->path) + 8];
	int ret = 0;
	FILE *f;

	(void)snprintf(fresh, sizeof(fresh), "%s.new", d->path); /* fits */
	f = fopen(fresh, "we");
	if (!f)
		return -errno;
	fprintf(f, MARK "[Unit]\nWants=ncd.service\nAfter=ncd.service\n\n[Service]\n");
	put_variable(f, "LD_PRELOAD", library);
	for (size_t i = 0; variable[i]; i++)
		if (getenv(variable[i]))
			put_variable(f, variable[i], getenv(variable[i]));
	if (fchmod(fileno(f), 0644) < 0)
		ret = -errno;
	if (fclose(f) == EOF && ret == 0)
		ret = -errno;
	if (ret == 0 && rename(fresh, d->path) < 0)
		ret = -errno;
	if (ret < 0)
		(void)unlink(fresh); /* of no use */
	return ret;
}

static int fail(const char *path)
{
	fprintf(stderr, "ncd-run: %s: %s%s\n", path, strerror(errno),
		errno == EACCES || errno == EPERM ? ": needs root" : "");
	return EXIT_FAILURE;
}

int unit_enable(const char *unit, const char *library, const char *const variable[])
{
	struct dropin d;
	int ours, ret;

	if (!dropin_name(&d, unit) || !unit_exists(d.unit))
		return EXIT_FAILURE;
	if (mkdir(d.dir, 0755) < 0 && errno != EEXIST)
		return fail(d.dir);
	ours = dropin_ours(&d);
	if (ours < 0)
		return EXIT_FAILURE;
	ret = dropin_write(&d, library, variable);
	if (ret < 0) {
		errno = -ret;
		return fail(d.path);
	}
	printf("ncd-run: %s %s\n", ours ? "replaced" : "wrote", d.path);
	reload(d.unit, "enabled");
	return EXIT_SUCCESS;
}

int unit_disable(const char *unit)
{
	struct dropin d;
	int ours;

	if (!dropin_name(&d, unit))
		return EXIT_FAILURE;
	ours = dropin_ours(&d);
	if (ours == 0)
		fprintf(stderr, "ncd-run: %s is not enabled: there is no %s\n", d.unit, d.path);
	if (ours <= 0)
		return EXIT_FAILURE;
	if (unlink(d.path) < 0)
		return fail(d.path);
	(void)rmdir(d.dir); /* unless there is more in it */
	printf("ncd-run: removed %s\n", d.path);
	reload(d.unit, "disabled");
	return EXIT_SUCCESS;
}
