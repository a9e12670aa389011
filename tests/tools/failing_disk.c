/* Preloaded into the gateway: the n-th write or the n-th sync below a directory fails with EIO, once.
 *
 * PLAN names a file that holds `write N` or `sync N`; without the file nothing fails. LOG gets a line for what failed, and
 * one for every write or sync of the same file that comes after a failed sync, which is what the test looks for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int ready, at, count;
static char kind[16], broken[4096];
static const char *below;

static ssize_t (*real_write)(int, const void *, size_t);

static void tell(const char *what, const char *path) {
  char line[4400];
  int length = snprintf(line, sizeof line, "%s %s\n", what, path);
  int fd = open(getenv("FAILING_DISK_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd >= 0) { if (real_write(fd, line, (size_t)length) < 0) {} close(fd); }
}

static void prepare(void) {
  if (ready) return;
  ready = 1;
  real_write = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  below = getenv("FAILING_DISK_BELOW");
  const char *plan = getenv("FAILING_DISK_PLAN");
  FILE *file = plan ? fopen(plan, "r") : NULL;
  if (!file) return;
  if (fscanf(file, "%15s %d", kind, &at) != 2) at = 0;
  fclose(file);
}

/* Whether this operation is the one that fails. */
static int fails(int fd, const char *operation) {
  int answer = 0;
  char name[64], path[4096];
  pthread_mutex_lock(&lock);
  prepare();
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = at && below ? readlink(name, path, sizeof path - 1) : -1;
  if (length > 0) {
    path[length] = 0;
    if (strncmp(path, below, strlen(below)) == 0) {
      if (broken[0] && strcmp(broken, path) == 0) tell("after", path);
      if (strcmp(kind, operation) == 0 && ++count == at) {
        answer = 1;
        tell(operation, path);
        if (strcmp(operation, "sync") == 0) strcpy(broken, path);
      }
    }
  }
  pthread_mutex_unlock(&lock);
  return answer;
}

#define PASS_OR_FAIL(operation, type, name, parameters, arguments)                                                     \
  type name parameters {                                                                                               \
    static type(*real) parameters;                                                                                     \
    if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                                     \
    if (fails(fd, operation)) { errno = EIO; return -1; }                                                              \
    return real arguments;                                                                                             \
  }

PASS_OR_FAIL("write", ssize_t, write, (int fd, const void *bytes, size_t length), (fd, bytes, length))
PASS_OR_FAIL("write", ssize_t, writev, (int fd, const struct iovec *parts, int many), (fd, parts, many))
PASS_OR_FAIL("write", ssize_t, pwrite, (int fd, const void *bytes, size_t length, off_t to), (fd, bytes, length, to))
PASS_OR_FAIL("write", ssize_t, pwrite64, (int fd, const void *bytes, size_t length, off64_t to), (fd, bytes, length, to))
PASS_OR_FAIL("sync", int, fsync, (int fd), (fd))
PASS_OR_FAIL("sync", int, fdatasync, (int fd), (fd))

/* A file of the same name that is made later is another one. */
int unlink(const char *path) {
  static int (*real)(const char *);
  if (!real) real = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
  pthread_mutex_lock(&lock);
  if (strcmp(broken, path) == 0) broken[0] = 0;
  pthread_mutex_unlock(&lock);
  return real(path);
}
