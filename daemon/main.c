/* SPDX-License-Identifier: MIT */
/*
 * main.c - ncd: arguments, then the daemon, in the foreground.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"

#define USAGE                                                                           \
	"usage: ncd [-c FILE] [-t] [-T] [-V] [-h]\n"                                    \
	"  -c FILE  read FILE (default " CONFIG_DEFAULT_FILE ", which may be absent)\n" \
	"  -t       check the file and leave\n"                                         \
	"  -T       print the configuration as understood and leave\n"                  \
	"  -V, --version, -h, --help\n"                                                 \
	"ncd stays in the foreground. See ncd(8), ncd.conf(5).\n"

struct arguments {
	const char *file; /* NULL: the default */
	bool check, print, version, help;
};

/* True, or false after a line on stderr. */
static bool arguments_parse(int argc, char **argv, struct arguments *ret_args)
{
	static const struct option longs[] = {
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct arguments a = { .file = NULL };
	int option;

	while ((option = getopt_long(argc, argv, "c:tTVh", longs, NULL)) != -1) {
		if (option == 'c')
			a.file = optarg;
		else if (option == 't')
			a.check = true;
		else if (option == 'T')
			a.print = true;
		else if (option == 'V')
			a.version = true;
		else if (option == 'h')
			a.help = true;
		else
			return false;
	}
	if (optind < argc) {
		(void)fprintf(stderr, "ncd: %s: ncd takes no such argument\n", argv[optind]);
		return false;
	}
	*ret_args = a;
	return true;
}

/* What was printed is out; or one line says why not. The status to exit with. */
static int printed(const struct log *log)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	/* errno 0: it failed before, and is not remembered. */
	log_line(log, LOG_LEVEL_ERROR, "cannot write to stdout: %s",
		 errno ? strerror(errno) : "not all of it has got out");
	return EXIT_FAILURE;
}

static int run(struct config *config, bool named)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct daemon *d = calloc(1, sizeof(*d));
	struct log log;
	int r;

	if (d == NULL) {
		config_free(config);
		return EXIT_FAILURE;
	}
	/*
	 * The tables of a client are tens of MB that are hardly used. From mmap their pages come as
	 * they are touched, and go with the client; glibc would soon keep them in its heap instead.
	 * Where it cannot be set ncd is only larger.
	 */
	(void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
	/* What goes away, or a limit of file sizes, is an error of a call, not the end of ncd. */
	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail for these two */
	(void)signal(SIGXFSZ, SIG_IGN);
	r = daemon_start(d, config, named, error);
	log = d->log;
	if (r == 0)
		daemon_run(d);
	daemon_fini(d);
	free(d);
	if (r < 0)
		log_line(&log, LOG_LEVEL_ERROR, "%s", error);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Where one of 0, 1 and 2 is closed, a socket of ncd's would be there, and its log go into it. */
static void standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd); /* one more than was needed */
}

int main(int argc, char **argv)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct config *config = NULL;
	struct arguments args;
	const char *file;
	struct log log;

	standard_descriptors();
	if (!arguments_parse(argc, argv, &args)) {
		(void)fputs(USAGE, stderr);
		return 2;
	}
	log_init(&log, 2, LOG_LEVEL_INFO);
	if (args.help || args.version) {
		(void)fputs(args.help ? USAGE : "ncd " NCD_RELEASE "\n", stdout);
		return printed(&log);
	}
	file = args.file ? args.file : CONFIG_DEFAULT_FILE;
	if (config_load(file, args.file != NULL, &config, error) < 0 ||
	    config_resolve(config, error) < 0) {
		log_line(&log, LOG_LEVEL_ERROR, "%s", error);
		config_free(config);
		return EXIT_FAILURE;
	}
	if (args.print)
		config_print(config, stdout);
	else if (args.check)
		(void)printf("%s: ok\n", file);
	if (args.print || args.check) {
		config_free(config);
		return printed(&log);
	}
	return run(config, args.file != NULL);
}
