"""pool.py START-METHOD: rounds of a process pool, a manager, a queue, shared memory, a database in
WAL mode, children and a server, as Python programs with workers have them."""
import asyncio
import concurrent.futures
import hashlib
import multiprocessing
import os
import sqlite3
import sys
import tempfile
from multiprocessing import shared_memory

HERE = os.path.dirname(__file__)


def digest(number):
    result = hashlib.sha256()
    for i in range(20000):
        result.update(b"%d" % (number * i))
    return result.hexdigest()[:10]


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(b"echo " + line)
        await writer.drain()


async def rounds(pool, database, shared, counts, lock, queue):
    path = os.path.join(tempfile.mkdtemp(), "socket")
    await asyncio.start_unix_server(echo, path=path)
    reader, writer = await asyncio.open_unix_connection(path)
    loop = asyncio.get_running_loop()
    for i in range(60):
        work = [loop.run_in_executor(pool, digest, i * 3 + k) for k in range(3)]
        child = await asyncio.create_subprocess_exec("sh", "-c", f"sleep 0.05; echo {i}", stdout=asyncio.subprocess.PIPE)
        writer.write(b"%d\n" % i)
        database.execute("insert into rounds values (?, ?)", (i, (await asyncio.gather(*work))[-1]))
        database.commit()
        with lock:
            counts["rounds"] = counts.get("rounds", 0) + 1
        queue.put(i)
        shared.buf[i] = i
        print("round", i, await work[0], (await child.communicate())[0].decode().strip(), child.returncode,
              (await reader.readline()).decode().strip(), queue.get(), counts["rounds"],
              database.execute("select count(*), min(digest) from rounds").fetchone(), flush=True)
        await (await asyncio.create_subprocess_exec(f"{HERE}/pause", *["last"][: i == 59])).wait()
    print("sum", sum(shared.buf[:60]))


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    connection = sqlite3.connect("rounds.db")
    connection.execute("pragma journal_mode = wal")
    connection.execute("create table rounds (number, digest)")
    memory = shared_memory.SharedMemory(create=True, size=1 << 20)
    with multiprocessing.Manager() as manager, concurrent.futures.ProcessPoolExecutor(3) as workers:
        asyncio.run(rounds(workers, connection, memory, manager.dict(), manager.Lock(), multiprocessing.Queue()))
    memory.close()
    memory.unlink()
