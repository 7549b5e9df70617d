// How fast the outbound client is, beside bare undici in the same run: `node bench/http-client.ts [seconds] [in flight]`.
// The receiver is another process. Processor time is given beside the rate, since it holds still while others use the machine.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { Pool, type Dispatcher } from 'undici';
import { hasBegun } from '../src/domain/delivery.ts';
import { headerLines } from '../src/outbound/header-lines.ts';
import { HttpClient } from '../src/outbound/http-client.ts';
import { EgressPolicy } from '../src/security/egress-policy.ts';

const ROUNDS = 3;
const body = Buffer.from(JSON.stringify({ event: 'order.created', data: { order_id: 'order_1', note: 'x'.repeat(300) } }));
const headers = {
  'X-HomeChef-Signature': `sha256=${'a'.repeat(64)}`,
  'webhook-id': 'delivery_01hzy3m7q8k9n2p4r5s6t7v8w9',
  'webhook-timestamp': '1705314600',
  'webhook-signature': `v1,${'a'.repeat(44)}`,
  'content-type': 'application/json',
  'user-agent': 'HomeChef-Webhooks/1.0.0',
  'x-homechef-event': 'order.created',
  'x-homechef-delivery': 'delivery_01hzy3m7q8k9n2p4r5s6t7v8w9',
  'x-homechef-attempt': '1',
};

if (process.argv[2] === 'receiver') await receive();
else await compare(Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 64));

async function compare(seconds: number, inFlight: number): Promise<void> {
  const receiver = spawn(process.execPath, [import.meta.filename, 'receiver'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = await once(receiver.stdout, 'data');
  const origin = `http://127.0.0.1:${String(port).trim()}`;
  const pool = new Pool(origin, { connections: inFlight });
  const client = new HttpClient({
    policy: new EgressPolicy({ environment: 'development', egress: { allowedCidrs: ['127.0.0.0/8'], allowHttp: true } }),
  });
  const bare = () =>
    new Promise<void>(
      (resolve, reject) => void pool.dispatch({ method: 'POST', path: '/', headers, body }, bareHandler(resolve, reject)),
    );
  const guarded = async () => {
    const posted = await client.post({ url: `${origin}/`, headers: headerLines(headers), body, timeoutMs: 30_000 });
    if (!hasBegun(posted) || posted.error !== null) throw new Error(JSON.stringify(posted));
  };
  await perSecond(bare, 1, inFlight);
  await perSecond(guarded, 1, inFlight);
  for (let round = 0; round < ROUNDS; round += 1) {
    const [one, other] = [await perSecond(bare, seconds, inFlight), await perSecond(guarded, seconds, inFlight)];
    console.log(
      `${inFlight} in flight: bare ${one.rate}/s at ${one.cpuMicros} us, guarded ${other.rate}/s at ${other.cpuMicros} us; ` +
        `ratio ${(other.rate / one.rate).toFixed(2)} by rate, ${(one.cpuMicros / other.cpuMicros).toFixed(2)} by processor time`,
    );
  }
  client.close();
  await pool.destroy();
  receiver.kill();
}

async function perSecond(
  send: () => Promise<void>,
  seconds: number,
  inFlight: number,
): Promise<{ rate: number; cpuMicros: number }> {
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  let sent = 0;
  async function loop(): Promise<void> {
    while (performance.now() < endsAt) {
      await send();
      sent += 1;
    }
  }
  await Promise.all(Array.from({ length: inFlight }, loop));
  const rate = Math.round((sent / (performance.now() - startedAt)) * 1000);
  const cpu = process.cpuUsage(cpuBefore);
  return { rate, cpuMicros: Math.round(((cpu.user + cpu.system) / sent) * 10) / 10 };
}

function bareHandler(resolve: () => void, reject: (error: Error) => void): Dispatcher.DispatchHandler {
  return {
    onRequestStart() {},
    onResponseStart() {},
    onResponseData() {},
    onResponseEnd: () => resolve(),
    onResponseError: (_controller, error) => reject(error),
  };
}

// The least a receiver can do: it knows the end of a request by the brace that ends its body.
async function receive(): Promise<void> {
  const answer = Buffer.from('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok');
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on('data', (chunk) => chunk.at(-1) === 125 && socket.write(answer));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  console.log(typeof address === 'object' && address !== null ? address.port : '');
}
