// A collector that keeps to docs/protocol.md, for tests. It can be away, be slow, refuse, and lose its memory.
'use strict';

const http = require('node:http');
const { decode } = require('./decode.js');

const TOKEN = 'a-token';

class Collector {
  /**
   * @param workers how many must join before the start
   * @param shares the phases of each of them, where they share a load
   */
  constructor({ workers = 1, poll = 100, storesAfter = 0, shares } = {}) {
    this.shares = shares;
    this.workers = workers;
    this.poll = poll; // milliseconds between the polls of a worker that waits
    this.storesAfter = storesAfter; // milliseconds until a batch is durable; Infinity: only at the finish
    this.claims = new Map(); // by process
    this.releasedAt = undefined;
    this.received = []; // all requests, as [path, process]
    this.slow = 0;
    this.answerInstead = () => undefined; // (path, claim, bytes) => [status, object, headers]
    this.hold = false; // nobody is released
  }

  /** Listens, on the same port as before if it did. */
  async start() {
    this.server = http.createServer((request, response) => this.serve(request, response).catch((error) => {
      this.error = error;
      response.destroy();
    }));
    await new Promise((resolve, reject) => {
      this.server.on('error', reject);
      this.server.listen(this.port ?? 0, '127.0.0.1', resolve);
    });
    this.port = this.server.address().port;
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Is away: connections are refused. */
  async kill() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }

  /** Loses what was not durable, as a process that is restarted does; before the release it loses all. */
  forget() {
    if (this.releasedAt === undefined) this.claims.clear();
    for (const claim of this.claims.values()) {
      claim.batches.length = claim.durable;
      if (!claim.isFinished) claim.finish = undefined;
    }
  }

  /** What the only worker has sent. */
  get only() {
    const claims = [...this.claims.values()];
    if (claims.length !== 1) throw new Error(`${claims.length} workers have joined`);
    return claims[0];
  }

  async serve(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const id = request.headers['loadtest-process'];
    this.received.push([request.url, id]);
    if (this.slow) await new Promise((resolve) => setTimeout(resolve, this.slow));
    const claim = this.claims.get(id);
    const [status, answer, headers = {}] = this.answerInstead(request.url, claim, bytes) ?? this.answer(request, id, claim, bytes);
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    response.end(JSON.stringify(answer));
  }

  answer({ url, headers, method }, id, claim, bytes) {
    if (method !== 'POST') return [400, { error: `${method}: POST is expected` }];
    if (headers.authorization !== `Bearer ${TOKEN}`) return [401, {}];
    if (!/^[0-9a-f]{32}$/.test(id)) return [400, { error: `Loadtest-Process is "${id}"` }];
    if (bytes.length > 1 << 20) return [413, { error: 'more than 1 MiB' }];
    if (url === '/v1/join') return this.join(id, claim, JSON.parse(bytes));
    if (!claim) return [404, { unknown: true }];
    if (url === '/v1/start') return this.once(claim, JSON.parse(bytes));
    if (url === '/v1/batches') return bytes.length > 0 ? this.take(claim, bytes) : this.acknowledge(claim);
    if (url === '/v1/finish') return this.finish(claim, JSON.parse(bytes));
    return [400, { error: `no ${url}` }];
  }

  join(id, claim, introduction) {
    const protocol = this.shares ? 2 : 1;
    if (introduction.protocol !== protocol) return [400, { error: `protocol ${introduction.protocol}: ${protocol} is expected` }];
    if (!claim) {
      const index = this.claims.size;
      this.claims.set(id, { index, introduction, batches: [], durable: 0, finish: undefined, stop: null, repeated: 0, joins: 0 });
    }
    this.claims.get(id).joins += 1;
    const { index } = this.claims.get(id);
    return [200, { index, workers: this.workers, ...(this.shares && { share: { phases: this.shares[index] } }) }];
  }

  /** Hooks that run once: worker 0 tells the variables, and who needs them is ready only once it has them. */
  once(claim, { before, variables }) {
    if (before === 'Ran') this.variables = variables;
    if (before !== 'Wanted') return this.release(claim);
    if (this.variables) return [200, { wait: { milliseconds: this.poll, ready: 1, workers: this.workers }, variables: this.variables }];
    const hasFailed = [...this.claims.values()].some(({ index, finish }) => index === 0 && finish);
    if (hasFailed) return [410, { refused: { reason: 'HooksFailed', message: 'worker 0 failed' } }];
    return [200, { wait: { milliseconds: this.poll, ready: 0, workers: this.workers } }];
  }

  release(claim) {
    claim.ready = true;
    const ready = [...this.claims.values()].filter(({ ready }) => ready).length;
    if (ready >= this.workers && !this.hold) this.releasedAt ??= performance.now() + 2 * this.poll + 100;
    if (this.releasedAt === undefined) return [200, { wait: { milliseconds: this.poll, ready, workers: this.workers } }];
    return [200, { go: { inMilliseconds: this.releasedAt - performance.now() } }];
  }

  take(claim, bytes) {
    const batch = decode(bytes);
    if (batch.sequence === claim.batches.length + 1) {
      claim.batches.push(batch);
      if (this.storesAfter !== Infinity) {
        setTimeout(() => { claim.durable = Math.max(claim.durable, batch.sequence); }, this.storesAfter);
      }
    } else {
      claim.repeated += 1;
    }
    return this.acknowledge(claim);
  }

  finish(claim, finish) {
    if (JSON.stringify(claim.finish) !== JSON.stringify(finish)) claim.isFinished = false;
    claim.finish = finish;
    claim.finishes = (claim.finishes ?? 0) + 1;
    if (claim.batches.length === finish.batches) {
      setTimeout(() => {
        claim.durable = claim.batches.length;
        claim.isFinished = JSON.stringify(claim.finish) === JSON.stringify(finish);
      }, 250);
    }
    return this.acknowledge(claim);
  }

  acknowledge(claim) {
    const othersEnded = [...this.claims.values()].every((other) => other === claim || other.finish);
    return [200, { received: claim.batches.length, durable: Math.min(claim.durable, claim.batches.length), finished: claim.isFinished === true, stop: claim.stop, othersEnded }];
  }
}

/** What all batches together say, as `{counters, counts}`: totals, and how many values each histogram has. */
function total(batches) {
  const sums = { counters: {}, counts: {} };
  const add = (to, name, value) => { to[name] = (to[name] ?? 0) + value; };
  for (const { counters = [], histograms = [] } of batches) {
    for (const { name, value = 0 } of counters) add(sums.counters, name, value);
    for (const { name, zeros = 0, positive = [], negative = [] } of histograms) {
      add(sums.counts, name, [...positive, ...negative].reduce((sum, count) => sum + count, zeros));
    }
  }
  return sums;
}

module.exports = { Collector, total, TOKEN };
