#include "look.h"

#include <linux/seccomp.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static char *a, *b, *c, *d;
static long page;

static char* map(size_t pages, int prot, int flags, int fd) {
  page = sysconf(_SC_PAGESIZE);
  void* at = mmap(NULL, pages * (size_t)page, prot, flags, fd, 0);
  if (at == MAP_FAILED) check(-1, "mmap");
  return at;
}
// VmFlags and rights of the mapping that holds `address`.
static void print_flags(const char* name, const void* address) {
  char line[512], flags[256] = {0}, rights[5] = {0};
  unsigned long start, end;
  int found = 0;
  FILE* maps = fopen("/proc/self/smaps", "r");
  while (fgets(line, sizeof line, maps) != NULL) {
    if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) == 3 && strchr(line, '-') < strchr(line, ' '))
      found = (unsigned long)address >= start && (unsigned long)address < end;
    else if (found && sscanf(line, "VmFlags: %255[^\n]", flags) == 1) break;
    if (found && flags[0] == 0) snprintf(line, sizeof line, "%s", rights);
  }
  fclose(maps);
  // What the kernel sets by itself as memory comes and goes is not the program's.
  for (char* word = strtok(flags, " "); word != NULL; word = strtok(NULL, " "))
    if (strcmp(word, "sd") != 0 && strcmp(word, "ac") != 0 && strcmp(word, "uw") != 0 && strcmp(word, "um") != 0 &&
        strcmp(word, "nr") != 0 && strcmp(word, "lf") != 0)
      printf("%s:%s ", name, word);
  putchar('\n');
}

// --- rights and advice
static void set_advice(void) {
  a = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  b = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  c = map(8, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  d = map(512 * 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  memset(a, 1, 8 * (size_t)page);
  madvise(a, 8 * (size_t)page, MADV_DONTFORK);
  madvise(a, 8 * (size_t)page, MADV_DONTDUMP);
  madvise(b, 8 * (size_t)page, MADV_WIPEONFORK);
  memset(b, 2, 8 * (size_t)page);
  check(mlock(b, 2 * (size_t)page), "mlock");
  madvise(d, 512 * 4 * (size_t)page, MADV_HUGEPAGE);
  madvise(d, 512 * 4 * (size_t)page, MADV_SEQUENTIAL);
}
static void tell_advice(void) {
  print_flags("dontfork", a);
  print_flags("wiped", b);
  print_flags("rest", b + 4 * page);
  print_flags("none", c);
  print_flags("huge", d);
  fflush(stdout);
  if (fork() == 0) {
    SAY("in a child %d", b[0]);
    exit(0);
  }
  wait(NULL);
}

// --- guard pages (Linux 6.13)
static volatile int faulted;
static void on_fault(int signal) {
  (void)signal;
  faulted = 1;
  mprotect(a, 8 * (size_t)page, PROT_READ | PROT_WRITE);
  madvise(a, 8 * (size_t)page, 103 /* MADV_GUARD_REMOVE */);
}
static void set_guard(void) {
  a = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  memset(a, 1, 8 * (size_t)page);
  check(madvise(a + 4 * page, (size_t)page, 102 /* MADV_GUARD_INSTALL */), "guard");
  signal(SIGSEGV, on_fault);
}
static void tell_guard(void) {
  a[4 * page] = 1;
  SAY("guarded %d", faulted);
}

// --- sealed mappings and file mappings
static void set_files(void) {
  const int fd = check(open("look.mapped", O_RDWR | O_CREAT | O_TRUNC, 0600), "open");
  page = sysconf(_SC_PAGESIZE);
  check(ftruncate(fd, 8 * page), "truncate");
  check(pwrite(fd, "file", 4, page), "write");
  a = map(8, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
  b = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
  b[page] = 'p';
  a[0] = 's';
  unlink("/tmp/look.gone");
  const int gone = check(open("/tmp/look.gone", O_RDWR | O_CREAT, 0600), "open");
  check(ftruncate(gone, 2 * page), "truncate");
  c = map(2, PROT_READ | PROT_WRITE, MAP_SHARED, gone);
  unlink("/tmp/look.gone");
  strcpy(c, "gone");
}
static void tell_files(void) {
  SAY("shared %c %.4s private %c %.4s gone %s", a[0], a + page, b[0], b + page, c);
}

// --- memory shared with a child
static void set_shared(void) {
  a = map(4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
  strcpy(a, "before");
  if (fork() == 0) {
    while (strcmp(a, "asked") != 0) usleep(10000);
    strcpy(a, "answered");
    _exit(0);
  }
}
static void tell_shared(void) {
  SAY("%s", a);
  strcpy(a, "asked");
  wait(NULL);
  SAY("%s", a);
}

// --- protection keys
static int key;
static void set_pkey(void) {
  a = map(1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  strcpy(a, "protected");
  key = pkey_alloc(0, 0);
  if (key < 0) {
    SAY(ABSENT);
    return;
  }
  check(pkey_mprotect(a, (size_t)page, PROT_READ | PROT_WRITE, key), "pkey_mprotect");
  check(pkey_set(key, PKEY_DISABLE_WRITE), "pkey_set");
  signal(SIGSEGV, on_fault);
}
static void tell_pkey(void) {
  if (key < 0) return;
  SAY("rights %d", pkey_get(key));
  SAY("another key is another: %d", pkey_alloc(0, 0) != key);
}

// --- a seccomp filter
static void set_seccomp(void) {
  struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
                               BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 99),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {4, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
}
static void tell_seccomp(void) {
  errno = 0;
  syscall(SYS_getppid);
  SAY("filtered %d mode %d", errno, prctl(PR_GET_SECCOMP));
}

// --- membarrier and memory policy
static void set_policy(void) {
  unsigned long nodes = 1;
  SAY("register %ld", syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
  a = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  syscall(SYS_mbind, a, 8 * page, MPOL_PREFERRED, &nodes, 8, 0);
  syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &nodes, 8);
}
static void tell_policy(void) {
  int mode = -1, of = -1;
  SAY("membarrier %ld", syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
  syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0);
  syscall(SYS_get_mempolicy, &of, NULL, 0, a, 2 /* MPOL_F_ADDR */);
  SAY("policy %d, of the mapping %d", mode, of);
}

// --- a lot reserved, little used
static void set_reserved(void) {
  a = mmap(NULL, (size_t)1 << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (a == MAP_FAILED) check(-1, "mmap");
  page = sysconf(_SC_PAGESIZE);
  check(mprotect(a + ((size_t)1 << 39), (size_t)page, PROT_READ | PROT_WRITE), "mprotect");
  strcpy(a + ((size_t)1 << 39), "in the middle");
}
static void tell_reserved(void) { SAY("%s", a + ((size_t)1 << 39)); }

// --- memory that is locked when it comes, and memory that is locked page by page
static void set_mlockall(void) { check(mlockall(MCL_FUTURE), "mlockall"); }
static void tell_mlockall(void) { print_flags("new", map(2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1)); }
static void set_onfault(void) {
  a = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  check(mlock2(a, 8 * (size_t)page, 1 /* MLOCK_ONFAULT */), "mlock2");
}
static void tell_onfault(void) {
  unsigned char there[8];
  mincore(a, 8 * (size_t)page, there);
  SAY("there %d", there[7] & 1);
}

// --- code that is written while it runs, and by another mapping
static void set_jit(void) {
  const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov $42, %eax; ret
  const int fd = check(memfd_create("jit", 0), "memfd");
  page = sysconf(_SC_PAGESIZE);
  check(ftruncate(fd, page), "truncate");
  a = map(1, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
  b = map(1, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
  c = map(1, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  memcpy(a, code, sizeof code);
  memcpy(c, code, sizeof code);
}
static void tell_jit(void) {
  SAY("%d %d", ((int (*)(void))b)(), ((int (*)(void))c)());
  a[1] = 43;
  c[1] = 44;
  SAY("%d %d", ((int (*)(void))b)(), ((int (*)(void))c)());
}

const struct kind memory_kinds[] = {{"advice", "madvise(2), mlock(2), rights of memory", set_advice, tell_advice},
                                    {"guard", "guard pages", set_guard, tell_guard},
                                    {"mapped", "files in memory, deleted ones too", set_files, tell_files},
                                    {"shared", "memory shared with a child", set_shared, tell_shared},
                                    {"pkey", "which protection keys are allocated", set_pkey, tell_pkey},
                                    {"seccomp", "a seccomp filter", set_seccomp, tell_seccomp},
                                    {"policy", "NUMA policies", set_policy, tell_policy},
                                    {"reserved", "a terabyte reserved and not used", set_reserved, tell_reserved},
                                    {"mlockall", "memory to come that is to be locked (mlockall(2))", set_mlockall, tell_mlockall},
                                    {"onfault", "memory that is locked page by page", set_onfault, tell_onfault},
                                    {"jit", "code that is written while it runs", set_jit, tell_jit},
                                    {0}};
