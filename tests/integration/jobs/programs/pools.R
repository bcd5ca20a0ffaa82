# R's pools: processes by fork (mclapply) and by sockets (makeCluster), of the package parallel. A line a round, until
# there is a file "go", or as many as ROUNDS says.
library(parallel)

work <- function(k) { set.seed(k); sum(sort(rnorm(5e4))) }
more <- function(n) if (nzchar(Sys.getenv("ROUNDS"))) n < as.integer(Sys.getenv("ROUNDS")) else !file.exists("go")

sockets <- makeCluster(2)
n <- 0
while (more(n)) {
  forked <- mclapply(1:3, function(k) { Sys.sleep(0.05); work(3 * n + k) }, mc.cores = 3)
  asked <- parLapply(sockets, 1:4, work)
  said <- system("sleep 0.05; echo child", intern = TRUE)
  cat("round", n, format(c(unlist(forked), unlist(asked)), digits = 10), said, "\n")
  flush(stdout())
  Sys.sleep(as.numeric(Sys.getenv("PAUSE")))
  n <- n + 1
}
stopCluster(sockets)
cat("done\n")
