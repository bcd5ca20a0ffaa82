// Writes memory in ways that write protection could miss: writes KIND ROUNDS PAUSE_MS
//
// In each round some pages are written, drawn from its number, in the way of the KIND; PAUSE_MS
// after it, unless there is a file `hurry`. At the end it tells how many pages are not what they were made last, and a digest of
// all, which depends on KIND and ROUNDS alone. `writes list` prints the kinds.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { kPage = 4096, kPages = 4096, kWrites = 12, kRun = 8, kWords = kPage / 8, kHuge = 2 << 20 };

static const char* kind;
static const char* program;
static uint64_t rounds, pause_ms, first_round;
static uint64_t (*arena)[kWords];  // kPages of them
static uint64_t ids[kPages];       // what each page was made last; 0: all zero
static uint64_t fresh[kWords] __attribute__((aligned(kPage)));

static void Must(int done, const char* what) {
  if (done) return;
  fprintf(stderr, "%s: ", kind);
  perror(what);
  _exit(1);
}

static uint64_t Mix(uint64_t x) {
  x ^= x >> 30, x *= 0xbf58476d1ce4e5b9, x ^= x >> 27, x *= 0x94d049bb133111eb;
  return x ^ x >> 31;
}
static uint64_t Word(uint64_t id, int i) { return id == 0 ? 0 : Mix(id * kWords + (uint64_t)i); }
static void Fill(uint64_t* page, uint64_t id) {
  for (int i = 0; i < kWords; ++i) page[i] = Word(id, i);
}
static uint64_t IdOf(uint64_t round, int page) { return round << 16 | (uint64_t)page; }

// --- ways to make `fresh` the contents of a page

static void Copy(int page) { memcpy(arena[page], fresh, kPage); }

static int file = -1, direct = -1;
static void OpenFiles(int flags) {
  char name[64];
  snprintf(name, sizeof name, "writes.%s", kind);
  file = open(name, O_RDWR | O_CREAT, 0600);
  direct = open(name, O_RDONLY | flags);
  Must(file >= 0 && direct >= 0, name);
}
static void ReadDirectly(int page) {
  Must(pwrite(file, fresh, kPage, 0) == kPage, "pwrite");
  Must(pread(direct, arena[page], kPage, 0) == kPage, "pread");
}

static aio_context_t ring;
static void ReadAsynchronously(int page) {
  Must(pwrite(file, fresh, kPage, 0) == kPage, "pwrite");
  struct iocb request = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)direct,
                         .aio_buf = (uintptr_t)arena[page], .aio_nbytes = kPage};
  struct iocb* requests = &request;
  struct io_event event;
  Must(syscall(SYS_io_submit, ring, 1, &requests) == 1, "io_submit");
  Must(syscall(SYS_io_getevents, ring, 1, 1, &event, NULL) == 1 && event.res == kPage, "aio");
}

// A child that does what comes through a pipe, and says when it is done.
static int to_child[2], from_child[2];
static void StartChild(void (*make)(int page)) {
  Must(pipe(to_child) == 0 && pipe(from_child) == 0, "pipe");
  const pid_t parent = getpid();
  const pid_t pid = fork();
  Must(pid >= 0, "fork");
  if (pid != 0) return;
  close(to_child[1]);
  // So large that it is looked at, too.
  char* const ballast = malloc(16 << 20);
  memset(ballast, 1, 16 << 20);
  struct { int page; uint64_t id; } order;
  while (read(to_child[0], &order, sizeof order) == sizeof order && getppid() == parent) {
    Fill(fresh, order.id);
    make(order.page);
    if (write(from_child[1], "", 1) != 1) break;
  }
  _exit(0);
}
static void AskChild(int page) {
  struct { int page; uint64_t id; } order = {page, ids[page]};
  char done;
  Must(write(to_child[1], &order, sizeof order) == sizeof order, "write");
  Must(read(from_child[0], &done, 1) == 1, "read");
}
static void WriteToParent(int page) {
  const struct iovec from = {fresh, kPage}, to = {arena[page], kPage};
  Must(process_vm_writev(getppid(), &from, 1, &to, 1, 0) == kPage, "process_vm_writev");
}

// The page lies in a pipe for a while, of which it is a part.
static int spliced[2];
static void Splice(int page) {
  static uint64_t lent[kWords] __attribute__((aligned(kPage)));
  memcpy(lent, fresh, kPage);
  const struct iovec from = {lent, kPage};
  Must(vmsplice(spliced[1], &from, 1, 0) == kPage, "vmsplice");
  usleep(1000);
  Must(read(spliced[0], arena[page], kPage) == kPage, "read");
}

static void WriteUnlocked(int page) {
  Must(mprotect(arena[page], kPage, PROT_READ | PROT_WRITE) == 0, "mprotect");
  Copy(page);
  Must(mprotect(arena[page], kPage, page % 2 ? PROT_NONE : PROT_READ) == 0, "mprotect");
}

static void GiveBackAndWrite(int page) {
  static const int advice[] = {MADV_DONTNEED, MADV_FREE, MADV_PAGEOUT, MADV_COLD};
  Must(madvise(arena[page], kPage, advice[page % 4]) == 0, "madvise");
  if (page % 16 == 8)
    Must(mmap(arena[page], kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
              -1, 0) != MAP_FAILED, "mmap");
  Copy(page);
}

// --- what is done once in a round

// Pages change places, and are not written. Always the same ones together: mremap(2) of some of which
// only a part is tracked fails (docs/adr/0036-write-tracking.md).
static void Swap(uint64_t round) {
  const int a = (int)(Mix(round * 3 + 1) % (kPages / 2) / kRun * kRun);
  const int b = kPages / 2 + (int)(Mix(round * 3 + 2) % (kPages / 2) / kRun * kRun);
  static char* aside;
  const size_t size = kRun * kPage;
  if (!aside)
    aside = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const int how = MREMAP_MAYMOVE | MREMAP_FIXED;
  Must(mremap(arena[a], size, size, how, aside) != MAP_FAILED, "mremap");
  Must(mremap(arena[b], size, size, how, arena[a]) != MAP_FAILED, "mremap");
  Must(mremap(aside, size, size, how, arena[b]) != MAP_FAILED, "mremap");
  for (int i = 0; i < kRun; ++i) {
    const uint64_t id = ids[a + i];
    ids[a + i] = ids[b + i];
    ids[b + i] = id;
  }
}

// They become zero, and are not written.
static void Forget(uint64_t round) {
  const int page = (int)(Mix(round * 5) % (kPages - kRun));
  Must(madvise(arena[page], kRun * kPage, MADV_DONTNEED) == 0, "madvise");
  for (int i = 0; i < kRun; ++i) ids[page + i] = 0;
}

static pid_t forked;
static void Fork(uint64_t round) {
  if (forked > 0) waitpid(forked, NULL, 0);
  forked = fork();
  if (forked != 0) return;
  // The same pages as its parent, at the same time, with something else.
  for (int i = 0; i < kWrites; ++i) Fill(arena[Mix(round * kWrites + (uint64_t)i) % kPages], round);
  usleep((useconds_t)pause_ms * 1500);
  _exit(0);
}

static void Collapse(uint64_t round) {
  if (round % 8 == 0)
    madvise((char*)arena + Mix(round) % (kPages * kPage / kHuge) * kHuge, kHuge, MADV_COLLAPSE);
}

// Another program, which gets what this one had.
static void Replace(uint64_t round) {
  if (round % 32 != 0 || round == first_round) return;
  char number[3][24];
  snprintf(number[0], sizeof number[0], "%lu", rounds);
  snprintf(number[1], sizeof number[1], "%lu", pause_ms);
  snprintf(number[2], sizeof number[2], "%lu", round);
  Must(pwrite(file, ids, sizeof ids, 0) == sizeof ids, "pwrite");
  Must(pwrite(file, arena, kPages * kPage, sizeof ids) == kPages * kPage, "pwrite");
  execl(program, program, kind, number[0], number[1], number[2], NULL);
  Must(0, "exec");
}

// A program that may not do what tracking does in its place.
static void Forbid(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog all = {sizeof filter / sizeof *filter, filter};
  Must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0, "seccomp");
}

// --- threads that write at the same time, each a quarter

static pthread_barrier_t barrier;
static void* WriteQuarter(void* which) {
  const int quarter = (int)(intptr_t)which;
  for (uint64_t round = 1; round <= rounds; ++round) {
    for (int i = 0; i < kWrites; ++i) {
      const int page = (int)(Mix(round * kWrites + (uint64_t)i) % (kPages / 4)) * 4 + quarter;
      ids[page] = IdOf(round, page);
      Fill(arena[page], ids[page]);
    }
    pthread_barrier_wait(&barrier);
  }
  return NULL;
}

// --- the kinds

struct Kind {
  const char* name;
  void (*put)(int page);
  void (*in_round)(uint64_t round);
  int map_flags;
};
static const struct Kind kinds[] = {
    {"plain", Copy, NULL, MAP_PRIVATE},
    {"direct", ReadDirectly, NULL, MAP_PRIVATE},
    {"aio", ReadAsynchronously, NULL, MAP_PRIVATE},
    {"peer", AskChild, NULL, MAP_PRIVATE},
    {"shared", AskChild, NULL, MAP_SHARED},
    {"memfd", AskChild, NULL, MAP_SHARED},
    {"spliced", Splice, NULL, MAP_PRIVATE},
    {"moved", Copy, Swap, MAP_PRIVATE},
    {"forked", Copy, Fork, MAP_PRIVATE},
    {"given-back", GiveBackAndWrite, Forget, MAP_PRIVATE},
    {"huge", Copy, Collapse, MAP_PRIVATE},
    {"locked", WriteUnlocked, NULL, MAP_PRIVATE},
    {"replaced", Copy, Replace, MAP_PRIVATE},
    {"forbidden", Copy, NULL, MAP_PRIVATE},
    {"threads", NULL, NULL, MAP_PRIVATE},
};

static void Prepare(const struct Kind* what) {
  const size_t size = (size_t)kPages * kPage;
  char* const place = mmap(NULL, size + kHuge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Must(place != MAP_FAILED, "mmap");
  const int memory = strcmp(kind, "memfd") == 0 ? memfd_create("writes", 0) : -1;
  if (memory >= 0) Must(ftruncate(memory, (off_t)size) == 0, "ftruncate");
  arena = (void*)(((uintptr_t)place + kHuge - 1) / kHuge * kHuge);
  Must(mmap(arena, size, PROT_READ | PROT_WRITE,
            what->map_flags | MAP_FIXED | (memory < 0 ? MAP_ANONYMOUS : 0), memory, 0) == arena,
       "mmap");
  if (what->in_round == Collapse) madvise(arena, size, MADV_HUGEPAGE);
  if (what->in_round == Replace) OpenFiles(0);
  if (first_round > 1) {
    Must(pread(file, ids, sizeof ids, 0) == sizeof ids, "pread");
    Must(pread(file, arena, size, sizeof ids) == (ssize_t)size, "pread");
  } else {
    for (int page = 0; page < kPages; ++page) {
      ids[page] = IdOf(0, page | 0x8000);
      Fill(arena[page], ids[page]);
    }
  }
  if (what->put == ReadDirectly) OpenFiles(O_DIRECT);
  if (what->put == ReadAsynchronously) {
    OpenFiles(O_DIRECT);
    Must(syscall(SYS_io_setup, 4, &ring) == 0, "io_setup");
  }
  if (what->put == AskChild) StartChild(what->map_flags == MAP_SHARED ? Copy : WriteToParent);
  if (what->put == Splice) Must(pipe(spliced) == 0, "pipe");
  if (strcmp(kind, "forbidden") == 0) Forbid();
}

static void Pause(void) {
  if (pause_ms > 0 && access("hurry", F_OK) != 0) usleep((useconds_t)pause_ms * 1000);
}

static void Run(const struct Kind* what) {
  if (what->put == NULL) {
    pthread_t threads[4];
    Must(pthread_barrier_init(&barrier, NULL, 5) == 0, "pthread_barrier_init");
    for (intptr_t i = 0; i < 4; ++i)
      Must(pthread_create(&threads[i], NULL, WriteQuarter, (void*)i) == 0, "pthread_create");
    for (uint64_t round = 1; round <= rounds; ++round) Pause(), pthread_barrier_wait(&barrier);
    for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
    return;
  }
  for (uint64_t round = first_round; round <= rounds; ++round) {
    if (what->in_round) what->in_round(round);
    for (int i = 0; i < kWrites; ++i) {
      const int page = (int)(Mix(round * kWrites + (uint64_t)i) % kPages);
      ids[page] = IdOf(round, page);
      Fill(fresh, ids[page]);
      what->put(page);
    }
    Pause();
  }
}

int main(int argc, char** argv) {
  const size_t count = sizeof kinds / sizeof *kinds;
  if (argc == 2)
    for (size_t i = 0; i < count; ++i) puts(kinds[i].name);
  if (argc < 4) return argc != 2;
  program = argv[0], kind = argv[1];
  rounds = strtoull(argv[2], NULL, 10), pause_ms = strtoull(argv[3], NULL, 10);
  first_round = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
  size_t which = 0;
  while (which < count && strcmp(kinds[which].name, kind) != 0) ++which;
  if (which == count) return 2;
  Prepare(&kinds[which]);
  Run(&kinds[which]);
  if (kinds[which].put == WriteUnlocked)
    Must(mprotect(arena, (size_t)kPages * kPage, PROT_READ) == 0, "mprotect");
  int wrong = 0;
  uint64_t digest = 0;
  for (int page = 0; page < kPages; ++page) {
    int right = 1;
    for (int i = 0; i < kWords; ++i) {
      right &= arena[page][i] == Word(ids[page], i);
      digest = Mix(digest ^ arena[page][i]) + (uint64_t)i;
    }
    wrong += !right;
  }
  printf("%s: %d pages wrong, digest %016lx\n", kind, wrong, digest);
  return wrong != 0;
}
