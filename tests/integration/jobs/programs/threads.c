// Teams of OpenMP threads, with tasks, locks and memory of each thread's own.
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long total;
#pragma omp threadprivate(total)

static long fibonacci(int n) {
  long a, b;
  if (n < 2) return n;
#pragma omp task shared(a) if (n > 12)
  a = fibonacci(n - 1);
  b = fibonacci(n - 2);
#pragma omp taskwait
  return a + b;
}

int main(void) {
  double* values = malloc(200000 * sizeof *values);
  omp_set_dynamic(0);
  omp_set_num_threads(4);
  for (int round = 0; round < 60; ++round) {
    long sum = 0, all = 0;
#pragma omp parallel reduction(+ : all)
    {
#pragma omp for schedule(dynamic, 1000)
      for (int i = 0; i < 200000; ++i) values[i] = (i * 7919L + round) % 1000;
#pragma omp for schedule(static) reduction(+ : sum)
      for (int i = 0; i < 200000; ++i) sum += (long)values[i];
      total += omp_get_thread_num() + round;
      all += total;
#pragma omp single
      sum += fibonacci(18);
    }
    printf("round %d %ld %ld\n", round, sum, all);
    fflush(stdout);
    for (int i = 0; access(getenv("GO"), F_OK) != 0 && (i < 10 || round == 59); ++i) usleep(50000);
  }
  return 0;
}
