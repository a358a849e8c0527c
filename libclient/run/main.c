/* SPDX-License-Identifier: MIT */
/*
 * main.c - ncd-run: starts a program with libncpreload.so in front of the C library.
 */
#include <elf.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../environment.h"
#include "../process.h"
#include "ncclient.h"
#include "unit.h"

#define LIBRARY    "libncpreload.so"
#define EXIT_WRONG 2   /* the command line, or the environment */
#define EXIT_EXEC  126 /* as the shell's: found, but cannot be run; one more: not found */

enum {
	OPTION_ENABLE = 256,
	OPTION_DISABLE
};

static const char usage[] =
	"usage: ncd-run [OPTIONS] PROGRAM [ARGUMENTS]\n"
	"       ncd-run [OPTIONS] --enable UNIT | --disable UNIT\n"
	"Runs PROGRAM with its TCP sockets carried by ncd where the other side has ncd too.\n"
	"  -r, --require         fail where ncd cannot carry, instead of using kernel TCP\n"
	"  -v, --verbose         one line for each connection: which way it goes, and why\n"
	"  -c, --class CLASS     latency or throughput, for all its sockets\n"
	"  -x, --exclude NAME    leave programs of this name alone (children of PROGRAM)\n"
	"  --enable UNIT         a service of systemd: from its next start on, as if by ncd-run\n"
	"  --disable UNIT        not any more\n"
	"  -h, --help, -V, --version\n";

static const struct option options[] = {
	{ "require", no_argument, NULL, 'r' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "class", required_argument, NULL, 'c' },
	{ "exclude", required_argument, NULL, 'x' },
	{ "enable", required_argument, NULL, OPTION_ENABLE },
	{ "disable", required_argument, NULL, OPTION_DISABLE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

__attribute__((noreturn, format(printf, 2, 3))) static void die(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("ncd-run: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap); /* where else to say so */
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

static void env_put(const char *name, const char *value)
{
	if (setenv(name, value, 1) < 0)
		die(EXIT_EXEC, "%s: %s", name, strerror(errno));
}

/* @item before what the variable holds already, with @separator between. */
static void env_prepend(const char *name, const char *item, char separator)
{
	const char *before = getenv(name);
	char *both;

	if (!before || !*before) {
		env_put(name, item);
		return;
	}
	if (asprintf(&both, "%s%c%s", item, separator, before) < 0)
		die(EXIT_EXEC, "%s: %s", name, strerror(ENOMEM));
	env_put(name, both);
	free(both);
}

/* Beside ncd-run (the build tree), or ../lib/ncd from there. Must be freed. */
static char *library_find(void)
{
	static const char *const places[] = { "%s/" LIBRARY, "%s/../lib/ncd/" LIBRARY };
	char self[PATH_MAX], *slash, *path, *whole;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		die(EXIT_EXEC, "/proc/self/exe: %s", strerror(errno));
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* from the table above */
		if (asprintf(&path, places[i], self) < 0)
			die(EXIT_EXEC, "%s", strerror(ENOMEM));
#pragma GCC diagnostic pop
		whole = realpath(path, NULL);
		free(path);
		if (whole)
			return whole;
	}
	die(EXIT_EXEC, LIBRARY " is neither in %s nor in %s/../lib/ncd", self, self);
}

/* The file that execvp would run, or NULL. Must be freed. */
static char *program_find(const char *program)
{
	const char *path = getenv("PATH");
	char *list, *save = NULL, *dir, *full = NULL;

	if (strchr(program, '/'))
		return strdup(program);
	list = strdup(path ? path : "/bin:/usr/bin");
	for (dir = list ? strtok_r(list, ":", &save) : NULL; dir;
	     dir = strtok_r(NULL, ":", &save)) {
		if (asprintf(&full, "%s/%s", dir, program) < 0)
			break;
		if (access(full, X_OK) == 0)
			goto out;
		free(full);
		full = NULL;
	}
out:
	free(list);
	return full;
}

/* A 64-bit ELF file that asks for no loader: nothing can be loaded into it. */
static bool is_static(const char *path)
{
	FILE *f = fopen(path, "re");
	bool ret = false;
	Elf64_Ehdr e;
	Elf64_Phdr p;

	if (!f)
		return false;
	if (fread(&e, sizeof(e), 1, f) != 1 || memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 ||
	    e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_phentsize != sizeof(p) ||
	    fseek(f, (long)e.e_phoff, SEEK_SET) < 0)
		goto out;
	for (int i = 0; i < e.e_phnum; i++)
		if (fread(&p, sizeof(p), 1, f) != 1 || p.p_type == PT_INTERP)
			goto out;
	ret = true;
out:
	(void)fclose(f); /* only read */
	return ret;
}

/* The loader drops what is preloaded into a program that gains rights: better said than found out.
 */
static void program_check(const char *program, bool required)
{
	char *path = program_find(program);
	struct stat st;

	if (path && stat(path, &st) == 0 && st.st_mode & (S_ISUID | S_ISGID))
		die(EXIT_EXEC,
		    "%s: a set-uid or set-gid program cannot be carried: the system loads no "
		    "library into it. Run it without ncd-run",
		    path);
	if (path && getxattr(path, "security.capability", NULL, 0) > 0 && geteuid() != 0)
		die(EXIT_EXEC,
		    "%s: a program with capabilities of its own cannot be carried: the system "
		    "loads no library into it. Run it without ncd-run",
		    path);
	if (path && is_static(path)) {
		if (required)
			die(EXIT_EXEC, "%s: is linked statically: ncd cannot carry it", path);
		fprintf(stderr, "ncd-run: %s: is linked statically: kernel TCP is used\n", path);
	}
	free(path);
}

/* One attempt to attach, here: the program would hear of it only at its first connection. */
static void daemon_check(bool required)
{
	char why[256];
	int s;

	if (!required)
		process_hurry();
	s = nc_socket(AF_INET, SOCK_STREAM, 0);
	if (s >= 0) {
		(void)nc_close(s); /* it was never used */
		return;
	}
	(void)nc_attach_why(why, sizeof(why)); /* cut is good enough */
	if (required)
		die(EXIT_FAILURE, "%s", why);
	fprintf(stderr, "ncd-run: %s: kernel TCP is used\n", why);
}

/* The program would say it too, and go on without. */
static void environment_check(void)
{
	char why[ENVIRONMENT_WHY_BYTES];
	struct environment env;

	if (!environment_read(&env, why))
		die(EXIT_WRONG, "%s", why);
}

/* What the command line wants beside what it puts into the environment. */
struct wish {
	bool required;
	const char *enable, *disable;
};

/* Exit status, or -1: go on. */
static int parse(int argc, char **argv, struct wish *w)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "+rvc:x:hV", options, NULL)) != -1) {
		switch (opt) {
		case 'r':
			w->required = true;
			env_put("NCD_REQUIRE", "1");
			break;
		case 'v':
			env_put("NCD_VERBOSE", "1");
			break;
		case 'c':
			if (strcmp(optarg, "latency") != 0 && strcmp(optarg, "throughput") != 0)
				die(EXIT_WRONG, "--class %s: latency or throughput", optarg);
			env_put("NCD_CLASS", optarg);
			break;
		case 'x':
			env_prepend("NCD_EXCLUDE", optarg, ',');
			break;
		case OPTION_ENABLE:
			w->enable = optarg;
			break;
		case OPTION_DISABLE:
			w->disable = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			printf("ncd-run %s\n", nc_version());
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return EXIT_WRONG;
		}
	}
	/* Either a unit or a program. */
	if (!!w->enable + !!w->disable + (optind < argc) == 1)
		return -1;
	fputs(usage, stderr);
	return EXIT_WRONG;
}

int main(int argc, char **argv)
{
	static const char *const variable[] = { "NCD_SOCKET", "NCD_PORTS",   "NCD_EXCLUDE",
						"NCD_CLASS",  "NCD_REQUIRE", "NCD_VERBOSE", NULL };
	struct wish w = { 0 };
	char *library;
	int ret = parse(argc, argv, &w);

	if (ret >= 0)
		return ret;
	if (w.disable)
		return unit_disable(w.disable);
	environment_check();
	library = library_find();
	if (w.enable) {
		ret = unit_enable(w.enable, library, variable);
		free(library);
		return ret;
	}
	program_check(argv[optind], w.required);
	daemon_check(w.required);
	env_prepend("LD_PRELOAD", library, ':');
	free(library);
	execvp(argv[optind], &argv[optind]);
	die(errno == ENOENT ? EXIT_EXEC + 1 : EXIT_EXEC, "%s: %s", argv[optind], strerror(errno));
}
