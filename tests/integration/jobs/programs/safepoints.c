// As Julia's runtime does: a pool of threads that are brought to a stop for a collection of garbage by a page
// that is protected and that each of them reads now and then (SIGSEGV), tasks with stacks of their own that threads
// switch between, a heap in a large reservation, and code that is written while it runs. A line a round,
// until there is a file "go", or as many as ROUNDS says.
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { kThreads = 3, kTasks = 4, kStack = 256 << 10 };
static const size_t kHeap = 8ul << 30;  // reserved; little of it is used

static volatile int* safepoint;
static sem_t stopped, resume;
static pthread_mutex_t heap_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t begin, end;
static char* heap;
static size_t used;
static volatile int round_number, collections, last;
static uint64_t results[kThreads * kTasks];
static __thread ucontext_t scheduler, tasks[kTasks];
static __thread int thread;
static __thread char* stacks;

static void on_fault(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  if (info->si_addr != (void*)safepoint) _exit(11);
  sem_post(&stopped);
  while (sem_wait(&resume) != 0) continue;
}

static void* allocate(size_t size) {
  pthread_mutex_lock(&heap_lock);
  void* object = heap + used;
  used += size;
  mprotect(heap, (used + 4095) / 4096 * 4096, PROT_READ | PROT_WRITE);
  pthread_mutex_unlock(&heap_lock);
  return object;
}

static void task(int number) {
  uint64_t value = round_number * 1000 + thread * kTasks + number;
  uint64_t* cell = allocate(sizeof *cell);
  for (int i = 0; i < 20; ++i) {
    for (int k = 0; k < 20000; ++k) value = value * 6364136223846793005u + 1442695040888963407u;
    *cell = value;
    (void)*safepoint;
    swapcontext(&tasks[number], &scheduler);  // another task's turn
    value ^= *cell >> 29;
  }
  results[thread * kTasks + number] = value;
}

static void* work(void* number) {
  thread = (int)(intptr_t)number;
  stacks = mmap(NULL, kTasks * kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  while (pthread_barrier_wait(&begin), !last) {
    for (int i = 0; i < kTasks; ++i) {
      getcontext(&tasks[i]);
      tasks[i].uc_stack.ss_sp = stacks + i * kStack;
      tasks[i].uc_stack.ss_size = kStack;
      tasks[i].uc_link = &scheduler;
      makecontext(&tasks[i], (void (*)(void))task, 1, i);
    }
    for (int turn = 0; turn <= 20; ++turn)
      for (int i = 0; i < kTasks; ++i) swapcontext(&scheduler, &tasks[i]);
    while (collections <= round_number) (void)*safepoint;
    pthread_barrier_wait(&end);
  }
  return NULL;
}

// Stops the threads at their next safepoint, as a collection does, and lets them go on.
static void collect(void) {
  mprotect((void*)safepoint, 4096, PROT_NONE);
  for (int i = 0; i < kThreads; ++i) sem_wait(&stopped);
  usleep(20000);
  mprotect((void*)safepoint, 4096, PROT_READ);
  ++collections;
  for (int i = 0; i < kThreads; ++i) sem_post(&resume);
}

// Compiles "return n" anew.
static int (*compile(unsigned char* code, int n))(void) {
  const unsigned char made[] = {0xb8, n, n >> 8, n >> 16, n >> 24, 0xc3};
  mprotect(code, 4096, PROT_READ | PROT_WRITE);
  memcpy(code, made, sizeof made);
  mprotect(code, 4096, PROT_READ | PROT_EXEC);
  return (int (*)(void))code;
}

static int more(int n) {
  const char* rounds = getenv("ROUNDS");
  return rounds ? n < atoi(rounds) : access("go", F_OK) != 0;
}

int main(void) {
  safepoint = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  heap = mmap(NULL, kHeap, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  unsigned char* code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (heap == MAP_FAILED || code == MAP_FAILED) return perror("mmap"), 1;
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  sem_init(&stopped, 0, 0), sem_init(&resume, 0, 0);
  pthread_barrier_init(&begin, NULL, kThreads + 1), pthread_barrier_init(&end, NULL, kThreads + 1);
  pthread_t threads[kThreads];
  for (intptr_t i = 0; i < kThreads; ++i) pthread_create(&threads[i], NULL, work, (void*)i);
  for (; more(round_number); ++round_number) {
    pthread_barrier_wait(&begin);
    collect();
    pthread_barrier_wait(&end);
    uint64_t sum = 0;
    for (int i = 0; i < kThreads * kTasks; ++i) sum = sum * 31 + results[i];
    printf("round %d %016lx %zu %d\n", round_number, sum, used, compile(code, round_number)());
    fflush(stdout);
    usleep(1000000 * atof(getenv("PAUSE")));
  }
  last = 1;
  pthread_barrier_wait(&begin);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  puts("done");
}
