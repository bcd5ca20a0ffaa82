#include "look.h"

#include <linux/aio_abi.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

// --- System V: messages, memory
static int queue, shm;
static char* attached;
static void set_sysv(void) {
  struct {
    long type;
    char text[16];
  } message = {7, "seven"};
  queue = check(msgget(IPC_PRIVATE, 0600), "msgget");
  check(msgsnd(queue, &message, 6, 0), "msgsnd");
  message.type = 3;
  check(msgsnd(queue, &message, 6, 0), "msgsnd");
  shm = check(shmget(0x4c4f4f4b, 8192, IPC_CREAT | 0640), "shmget");
  attached = shmat(shm, NULL, 0);
  strcpy(attached, "in shared memory");
  shmctl(shm, IPC_RMID, NULL);
}
static void tell_sysv(void) {
  struct {
    long type;
    char text[16];
  } message = {0};
  struct msqid_ds state;
  struct shmid_ds memory;
  msgctl(queue, IPC_STAT, &state);
  SAY("messages %lu", (unsigned long)state.msg_qnum);
  SAY("of type 3: %zd %s", msgrcv(queue, &message, 16, 3, IPC_NOWAIT), message.text);
  msgctl(queue, IPC_RMID, NULL);
  SAY("shm %d %s", shmctl(shm, IPC_STAT, &memory), attached);
  SAY("attached %lu mode %o", (unsigned long)memory.shm_nattch, memory.shm_perm.mode);
}

// --- semaphores that are undone
static int semaphores;
static pid_t holder;
static void set_undo(void) {
  semaphores = check(semget(IPC_PRIVATE, 2, 0600), "semget");
  unsigned short values[] = {5, 9};
  check(semctl(semaphores, 0, SETALL, values), "setall");
  holder = fork();
  if (holder == 0) {
    struct sembuf take[] = {{0, -2, SEM_UNDO}, {1, -4, SEM_UNDO}};
    check(semop(semaphores, take, 2), "semop");
    while (1) pause();
  }
  usleep(200000);
}
static void tell_undo(void) {
  struct semid_ds state;
  semctl(semaphores, 0, IPC_STAT, &state);
  SAY("held %d %d, used %d", semctl(semaphores, 0, GETVAL), semctl(semaphores, 1, GETVAL), state.sem_otime != 0);
  kill(holder, SIGKILL);
  waitpid(holder, NULL, 0);
  SAY("undone %d %d", semctl(semaphores, 0, GETVAL), semctl(semaphores, 1, GETVAL));
  semctl(semaphores, 0, IPC_RMID);
}

// --- POSIX message queues
static mqd_t mq;
static void set_mqueue(void) {
  const struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};
  mq_unlink("/look");
  mq = check(mq_open("/look", O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attributes), "mq_open");
  check(mq_send(mq, "low", 3, 1), "mq_send");
  check(mq_send(mq, "high", 4, 9), "mq_send");
}
static void tell_mqueue(void) {
  char text[65] = {0};
  unsigned priority = 0;
  const ssize_t size = mq_receive(mq, text, 64, &priority);
  SAY("mqueue %zd %s %u", size, text, priority);
  mq_unlink("/look");
}

// --- POSIX semaphores with a name, and one that somebody waits for
static sem_t* named;
static void set_semaphore(void) {
  sem_unlink("/look");
  named = sem_open("/look", O_CREAT, 0600, 3);
  if (named == SEM_FAILED) check(-1, "sem_open");
  sem_wait(named);
  sem_unlink("/look");
}
static void tell_semaphore(void) {
  int value = -1;
  sem_getvalue(named, &value);
  SAY("semaphore %d", value);
}

// --- asynchronous I/O of the kernel's, under way
static aio_context_t context;
static int pair[2];
static char buffer[16];
static void set_aio(void) {
  check(syscall(SYS_io_setup, 8, &context), "io_setup");
  check(pipe(pair), "pipe");
}
static void tell_aio(void) {
  struct io_event event;
  struct timespec second = {1, 0};
  const int fd = open("/proc/self/exe", O_RDONLY);
  struct iocb request = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (unsigned)fd, .aio_buf = (unsigned long)buffer, .aio_nbytes = 4, .aio_data = 77};
  struct iocb* list = &request;
  SAY("submit %ld", syscall(SYS_io_submit, context, 1, &list));
  const long got = syscall(SYS_io_getevents, context, 1, 1, &event, &second);
  SAY("got %ld with %llu: %lld", got, got > 0 ? (unsigned long long)event.data : 0, got > 0 ? (long long)event.res : 0);
}

// --- what a program finds in /dev/shm and /tmp
static void set_private(void) {
  const int fd = check(shm_open("/look.shm", O_RDWR | O_CREAT, 0600), "shm_open");
  check(write(fd, "shared", 6), "write");
  close(check(open("/tmp/look.file", O_CREAT | O_WRONLY, 0640), "open"));
  mkdir("/tmp/look.dir", 01777);
  chmod("/tmp/look.dir", 01777);
  symlink("look.file", "/tmp/look.link");
  link("/tmp/look.file", "/tmp/look.hard");
  const struct timespec times[2] = {{1000000000, 5}, {1000000001, 7}};
  utimensat(AT_FDCWD, "/tmp/look.file", times, 0);
}
static void tell_private(void) {
  struct stat info;
  char text[16] = {0};
  stat("/tmp/look.file", &info);
  SAY("file %o links %ld times %ld.%ld", info.st_mode, (long)info.st_nlink, (long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  stat("/tmp/look.dir", &info);
  SAY("dir %o", info.st_mode);
  SAY("link %zd %s", readlink("/tmp/look.link", text, sizeof text - 1), text);
  const int fd = shm_open("/look.shm", O_RDONLY, 0);
  memset(text, 0, sizeof text);
  SAY("shm %zd %s", read(fd, text, sizeof text - 1), text);
}

const struct kind ipc_kinds[] = {{"sysv", "System V messages, shared memory that is marked for removal", set_sysv, tell_sysv},
                                 {"undo", "what System V semaphores take back at the end of a process (SEM_UNDO)", set_undo, tell_undo},
                                 {"mqueue", "POSIX message queues", set_mqueue, tell_mqueue},
                                 {"semaphore", "named semaphores", set_semaphore, tell_semaphore},
                                 {"aio", "kernel AIO contexts", set_aio, tell_aio},
                                 {"private", "files in /tmp and /dev/shm: modes, links, times", set_private, tell_private},
                                 {0}};
