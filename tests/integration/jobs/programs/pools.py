"""Python's worker pools: `pools.py fork|forkserver|spawn`, how multiprocessing starts processes.

Processes and threads of concurrent.futures, a pool and a manager of multiprocessing, memory they share, a
database in WAL mode, and asyncio with a server and subprocesses. Prints a line a round, until there is a
file "go", or as many as ROUNDS says.
"""
import asyncio, concurrent.futures as futures, hashlib, multiprocessing as mp, os, sqlite3, sys, tempfile
from multiprocessing import shared_memory


def work(n):
    digest = hashlib.sha256()
    for i in range(20000):
        digest.update(b"%d" % (n * i))
    return digest.hexdigest()[:10]


def mark(arguments):
    name, n = arguments
    memory = shared_memory.SharedMemory(name)
    memory.buf[n] = (memory.buf[n] + n) % 256
    memory.close()
    return n


def more(n):
    return n < int(os.environ["ROUNDS"]) if "ROUNDS" in os.environ else not os.path.exists("go")


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(b"got " + line)
        await writer.drain()
    writer.write_eof()


async def rounds(processes, threads, pool, manager, memory, database):
    place = os.path.join(tempfile.mkdtemp(), "socket")
    server = await asyncio.start_unix_server(echo, path=place)
    reader, writer = await asyncio.open_unix_connection(place)
    loop = asyncio.get_running_loop()
    told, lock = manager.dict(), manager.Lock()
    n = 0
    while more(n):
        results = await asyncio.gather(*[loop.run_in_executor(processes, work, 3 * n + k) for k in range(3)])
        results.append(await loop.run_in_executor(threads, work, n))
        marks = await loop.run_in_executor(threads, pool.map, mark, [(memory.name, k) for k in range(4)])
        child = await asyncio.create_subprocess_exec("sh", "-c", "sleep 0.1; echo child; exit 3", stdout=asyncio.subprocess.PIPE)
        said = (await child.communicate())[0].decode().strip()
        writer.write(b"%d\n" % n)
        await writer.drain()
        back = (await reader.readline()).decode().strip()
        with lock:
            told[n] = results[0]
        database.execute("insert into results values (?, ?)", (n, results[0]))
        database.commit()
        rows = database.execute("select count(*) from results").fetchone()[0]
        await asyncio.sleep(float(os.environ["PAUSE"]))
        print("round", n, *results, sum(marks), said, child.returncode, back, rows, len(told), memory.buf[3] - 3 * (n + 1) % 256, flush=True)
        n += 1
    writer.write_eof()
    await reader.read()
    writer.close()
    server.close()


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    data = sqlite3.connect("results.db")
    data.execute("pragma journal_mode = wal")
    data.execute("create table results (n, digest)")
    shared = shared_memory.SharedMemory(create=True, size=1 << 20)
    with mp.Manager() as managed, futures.ThreadPoolExecutor(2) as threaded, mp.Pool(2) as pooled:
        with futures.ProcessPoolExecutor(3) as forked:
            asyncio.run(rounds(forked, threaded, pooled, managed, shared, data))
    shared.close()
    shared.unlink()
    print("done")
