// Node's pools: worker threads that share memory, processes of the cluster module, children by fork and exec, and
// HTTP over kept connections. A line a round, until there is a file "go", or as many as ROUNDS says.
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");
const cluster = require("cluster");
const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const { exec, fork } = require("child_process");

const more = (n) => (process.env.ROUNDS ? n < Number(process.env.ROUNDS) : !fs.existsSync("go"));
const sleep = (ms) => new Promise((then) => setTimeout(then, ms));

function digest(n) {
  const hash = crypto.createHash("sha256");
  for (let i = 0; i < 30000; i++) hash.update(String(n * i));
  return hash.digest("hex").slice(0, 12);
}

function ask(worker, message) {
  return new Promise((then) => {
    worker.once("message", then);
    worker.postMessage ? worker.postMessage(message) : worker.send(message);
  });
}

function post(agent, port, size) {
  return new Promise((then, failed) => {
    const request = http.request({ port, host: "127.0.0.1", method: "POST", agent }, (answer) => {
      let body = "";
      answer.on("data", (data) => (body += data));
      answer.on("end", () => then(body));
    });
    request.on("error", failed);
    request.end("x".repeat(size));
  });
}

async function main() {
  const shared = new Int32Array(new SharedArrayBuffer(64));
  const threads = [0, 1, 2].map(() => new Worker(__filename, { workerData: shared }));
  const child = fork(__filename, ["child"]);
  cluster.setupPrimary({ exec: __filename, args: ["server"] });
  const servers = [cluster.fork(), cluster.fork()];
  const ports = await Promise.all(servers.map((server) => new Promise((then) => server.once("message", then))));
  const agent = new http.Agent({ keepAlive: true });
  const log = fs.createWriteStream("log");
  let n = 0;
  for (; more(n); n++) {
    const digests = await Promise.all(threads.map((thread, k) => ask(thread, 3 * n + k)));
    const lengths = await Promise.all([post(agent, ports[0], n * 1000), post(agent, ports[0], n)]);
    const square = await ask(child, n);
    const said = await new Promise((then) => exec("sleep 0.05; echo out; exit 3", (error, out) => then(out.trim() + error.code)));
    log.write(n + "\n");
    const own = await fs.promises.readFile(__filename);
    await sleep(1000 * process.env.PAUSE);
    console.log("round", n, digests.join(), lengths.join(), square, said, own.length > 0, Atomics.load(shared, 0));
  }
  console.log("done");
  for (const server of servers) server.kill();
  process.exit(0);
}

if (!isMainThread) {
  parentPort.on("message", (n) => {
    Atomics.add(workerData, 0, 1);
    parentPort.postMessage(digest(n));
  });
} else if (process.argv[2] === "child") {
  process.on("message", (n) => setTimeout(() => process.send(n * n), 20));
} else if (process.argv[2] === "server") {
  const server = http.createServer((request, answer) => {
    let size = 0;
    request.on("data", (data) => (size += data.length));
    request.on("end", () => setTimeout(() => answer.end("length " + size), 30));
  });
  server.listen(0, "127.0.0.1", () => process.send(server.address().port));
} else {
  main();
}
