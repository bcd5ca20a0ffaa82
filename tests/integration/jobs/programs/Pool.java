// Java's pools: an executor, fork and join, parallel streams, a timer, a server with a thread for each connection,
// children, a file that is mapped and locked. A line a round, until there is a file "go", or as many as ROUNDS says.

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.RandomAccessFile;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Future;
import java.util.concurrent.RecursiveTask;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;

public class Pool {
  static long work(long seed) {
    long h = seed;
    for (int i = 0; i < 3_000_000; i++) {
      h = h * 6364136223846793005L + 1442695040888963407L;
      h ^= h >>> 29;
    }
    return h;
  }

  static class Sum extends RecursiveTask<Long> {
    final long from, to;
    Sum(long from, long to) { this.from = from; this.to = to; }
    @Override protected Long compute() {
      if (to - from < 50_000) return LongStream.range(from, to).map(n -> n * n % 7).sum();
      Sum left = new Sum(from, (from + to) / 2), right = new Sum((from + to) / 2, to);
      left.fork();
      return right.compute() + left.join();
    }
  }

  static void serve(ServerSocket server) {
    try {
      while (true) {
        Socket socket = server.accept();
        new Thread(() -> {
          try (BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream()));
               PrintWriter out = new PrintWriter(socket.getOutputStream(), true)) {
            for (String line; (line = in.readLine()) != null;) out.println("echo " + line);
          } catch (IOException e) {
            System.out.println("server: " + e);
          }
        }).start();
      }
    } catch (IOException e) {
      System.out.println("accept: " + e);
    }
  }

  static boolean more(int round) {
    String rounds = System.getenv("ROUNDS");
    return rounds != null ? round < Integer.parseInt(rounds) : !new File("go").exists();
  }

  public static void main(String[] arguments) throws Exception {
    ServerSocket server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    Thread accepting = new Thread(() -> serve(server));
    accepting.setDaemon(true);
    accepting.start();
    Socket client = new Socket(InetAddress.getLoopbackAddress(), server.getLocalPort());
    BufferedReader in = new BufferedReader(new InputStreamReader(client.getInputStream()));
    PrintWriter out = new PrintWriter(client.getOutputStream(), true);
    ExecutorService pool = Executors.newFixedThreadPool(4);
    ForkJoinPool joined = new ForkJoinPool(3);
    ScheduledExecutorService timer = Executors.newScheduledThreadPool(1);
    FileChannel file = new RandomAccessFile("mapped", "rw").getChannel();
    file.lock();
    MappedByteBuffer mapped = file.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 20);
    List<byte[]> garbage = new ArrayList<>();
    for (int round = 0; more(round); round++) {
      List<Future<Long>> results = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        final long seed = round * 4 + i;
        results.add(pool.submit(() -> work(seed)));
      }
      long sum = 0;
      for (Future<Long> result : results) sum += result.get();
      sum += joined.invoke(new Sum(round, round + 1_000_000));
      sum += LongStream.range(0, 100_000).parallel().map(n -> n % 11).sum();
      sum += timer.schedule(() -> 7, 50, TimeUnit.MILLISECONDS).get();
      out.println("line " + round);
      mapped.putInt(4 * (round % 1000), round);
      garbage.add(new byte[1 << 20]);
      if (garbage.size() > 40) garbage.remove(0);
      Process child = new ProcessBuilder("sh", "-c", "read line; sleep 0.1; echo got $line; exit 3").start();
      child.getOutputStream().write(("word " + round + "\n").getBytes());
      child.getOutputStream().close();
      String said = new String(child.getInputStream().readAllBytes()).trim();
      Thread.sleep((long) (1000 * Double.parseDouble(System.getenv("PAUSE"))));
      System.out.println("round " + round + " " + sum + " " + in.readLine() + " " + said + " " + child.waitFor() + " "
          + mapped.getInt(4 * (round / 2 % 1000)));
    }
    System.out.println("done");
    System.exit(0);
  }
}
